"""What people run into in their first hour, and the test that plays it. docs/errors/README.md shows this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Situation:
    """``code``: its page under docs/errors/; None where a reason is shown and nothing fails.

    ``exit_status``: of `streamctl`; None where no command fails. ``tests``: file::function.
    """

    what: str
    code: str | None
    exit_status: int | None
    tests: tuple[str, ...]


CLI, SUBMISSIONS, ENVIRONMENT = (
    "tests/e2e/test_cli.py",
    "tests/e2e/test_submissions.py",
    "tests/e2e/test_job_environment.py",
)
REFUSALS = "tests/unit/cli/test_rest_refusals.py"

SITUATIONS = (
    Situation("unknown job", "job-unknown", 2, (f"{REFUSALS}::test_an_unknown_job_is_2_and_where_to_look",)),
    Situation(
        "first digits that several jobs have",
        "job-ambiguous",
        2,
        (f"{REFUSALS}::test_an_ambiguous_prefix_is_2_and_names_the_candidates",),
    ),
    Situation(
        "script with a syntax error",
        "script-syntax",
        2,
        (f"{CLI}::test_submit_when_the_script_does_not_parse_then_2_and_its_line",),
    ),
    Situation(
        "script that never calls execute",
        "script-no-execute",
        2,
        (f"{CLI}::test_submit_when_the_script_never_executes_then_2_and_says_so",),
    ),
    Situation(
        "function that cannot be shipped",
        "function-not-picklable",
        2,
        (f"{SUBMISSIONS}::test_a_function_that_cannot_be_pickled_is_named",),
    ),
    Situation(
        "module missing on the worker",
        "module-missing",
        1,
        (f"{ENVIRONMENT}::test_a_module_that_the_worker_has_not_is_named_at_once",),
    ),
    Situation(
        "another Python on the worker",
        "python-version",
        1,
        (f"{ENVIRONMENT}::test_code_of_another_python_is_refused",),
    ),
    Situation(
        "another version of a package on the worker",
        "package-version",
        1,
        ("tests/unit/runtime/test_job_code.py::test_a_package_of_another_version_is_named_when_loading_fails",),
    ),
    Situation(
        "missing topic", "topic-missing", 1, (f"{SUBMISSIONS}::test_a_missing_topic_is_named_before_anything_starts",)
    ),
    Situation(
        "pattern that fits no topic",
        "topic-pattern-empty",
        1,
        (
            "tests/unit/connectors/test_kafka_source.py::test_a_pattern_that_fits_nothing_fails_the_job_in_plain_words",
        ),
    ),
    Situation(
        "record that is no JSON",
        "lane-failed",
        1,
        (
            f"{SUBMISSIONS}::test_a_record_that_cannot_be_decoded_is_named",
            "tests/unit/connectors/test_kafka_source.py::test_a_bad_record_fails_the_job_and_is_named",
        ),
    ),
    Situation(
        "field of another type than the row declares",
        "lane-failed",
        1,
        ("tests/unit/operators/test_formats.py::test_a_field_of_another_type_is_refused_with_its_name",),
    ),
    Situation(
        "key of a type that cannot be a key",
        "key-unsupported",
        1,
        (
            f"{CLI}::test_submit_when_a_key_cannot_be_one_then_1_and_what_to_use",
            "tests/unit/graph/test_keys.py::test_refused_keys_are_named_with_what_to_use",
        ),
    ),
    Situation(
        "windows over records without event time",
        "event-time-missing",
        1,
        (f"{CLI}::test_submit_when_records_have_no_event_time_then_1_and_what_to_do",),
    ),
    Situation(
        "watermark that does not move",
        None,
        None,
        (f"{SUBMISSIONS}::test_a_watermark_that_is_held_names_the_idle_partition_and_the_windows_that_wait",),
    ),
    Situation(
        "window that does not fire",
        None,
        None,
        (
            f"{SUBMISSIONS}::test_a_watermark_that_is_held_names_the_idle_partition_and_the_windows_that_wait",
            "tests/unit/runtime/test_waiting_windows.py::test_windows_without_any_watermark_strategy_say_so",
        ),
    ),
    Situation(
        "too few slots", "job-not-running-yet", 4, (f"{SUBMISSIONS}::test_too_few_slots_are_waited_for_and_said",)
    ),
    Situation(
        "parallelism above what an operator or the platform has lanes for",
        "parallelism-invalid",
        2,
        (
            f"{CLI}::test_submit_when_the_parallelism_is_above_the_lanes_then_2",
            "tests/unit/datastream/test_call_errors.py::test_a_wrong_call_is_named_at_the_users_line",
        ),
    ),
    Situation(
        "parallelism above the partitions of a topic",
        None,
        None,
        (
            "tests/unit/connectors/test_kafka_source.py"
            "::test_more_lanes_than_partitions_are_idle_and_hold_no_window_back",
        ),
    ),
    Situation(
        "port taken",
        "port-taken",
        2,
        ("tests/e2e/test_embedded.py::test_a_taken_port_is_named_and_nothing_is_started",),
    ),
    Situation(
        "wrong bootstrap", "kafka-unreachable", 3, (f"{SUBMISSIONS}::test_a_broker_that_is_not_there_is_one_line",)
    ),
    Situation(
        "wrong token",
        "rest-unauthorized",
        2,
        (f"{REFUSALS}::test_a_wrong_token_is_2_and_says_how_to_give_the_right_one",),
    ),
    Situation(
        "Ctrl-C while the script builds the job",
        "interrupted",
        130,
        (f"{CLI}::test_submit_when_interrupted_while_the_script_builds_then_130_and_nothing_was_submitted",),
    ),
    Situation(
        "Ctrl-C before the Dispatcher answers",
        "interrupted",
        130,
        (f"{CLI}::test_submit_when_interrupted_before_the_answer_then_130_and_how_to_repeat_it",),
    ),
    Situation(
        "Ctrl-C while the job waits to run",
        "interrupted",
        130,
        (f"{CLI}::test_submit_when_interrupted_while_the_job_waits_then_130_and_it_stays",),
    ),
    Situation(
        "Ctrl-C while the job is followed",
        "interrupted",
        130,
        (f"{CLI}::test_submit_wait_when_interrupted_then_130_and_the_job_runs_on",),
    ),
)


def table() -> str:
    """The table of docs/errors/README.md."""
    rows = ["| situation | code | exit status | test |", "|---|---|---|---|"]
    for each in SITUATIONS:
        code = f"[{each.code}]({each.code}.md)" if each.code else "none: a reason in `streamctl show`"
        status = "none" if each.exit_status is None else str(each.exit_status)
        tests = ", ".join(f"`{test.rpartition('::')[2]}` in `{test.partition('::')[0]}`" for test in each.tests)
        rows.append(f"| {each.what} | {code} | {status} | {tests} |")
    return "\n".join(rows) + "\n"
