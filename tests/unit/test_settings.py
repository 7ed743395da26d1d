"""Settings: which source wins, what is refused and how that is said, what is never shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import setting_sources
from headrace.embedded.processes import child_environment
from headrace.errors import UsageError
from headrace.setting_facts import fact, found, name_of
from headrace.setting_sources import Kind, SettingsFile, parse_options, read_file, unknown_variables
from headrace.settings import HIDDEN, Settings, environment_of, load_settings

KNOWN = Settings.model_fields


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's settings file; nothing is set but what a test sets."""
    for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "person"))
    monkeypatch.setattr(setting_sources, "MACHINE_FILE", tmp_path / "machine.toml")
    (tmp_path / "person" / "headrace").mkdir(parents=True)
    return tmp_path / "machine.toml"


@pytest.fixture
def person(machine: Path) -> Path:
    """This person's settings file."""
    return machine.parent / "person" / "headrace" / "headrace.toml"


def refused(options: dict[str, Any] | None = None) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load_settings(options)
    return caught.value


def where(name: str, options: dict[str, Any] | None = None) -> tuple[Any, str, str]:
    """A setting's value, kind and place."""
    now = {each.name: each.now for each in found(options)}[name]
    return now.value, now.kind.value, now.place


# ---- which source wins


def test_each_source_wins_over_the_weaker_ones(machine: Path, person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert where("rest_port") == (8081, "default", "default")
    machine.write_text("rest_port = 1\n")
    assert where("rest_port") == (1, "file", f"{machine}:1")
    person.write_text("# mine\nrest_port = 2\n")
    assert where("rest_port") == (2, "file", f"{person}:2")
    monkeypatch.setenv("HEADRACE_REST_PORT", "3")
    assert where("rest_port") == (3, "variable", "HEADRACE_REST_PORT")
    assert where("rest_port", {"rest_port": "4"}) == (4, "option", "option rest_port")
    [rest_port] = [each for each in found({"rest_port": 4}) if each.name == "rest_port"]
    assert [(each.value, each.kind) for each in rest_port.replaced] == [
        ("3", Kind.VARIABLE),
        (2, Kind.FILE),
        (1, Kind.FILE),
    ]


def test_options_that_are_none_and_variables_that_are_empty_say_nothing(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.write_text('redis = "redis://machine/0"\n')
    monkeypatch.setenv("HEADRACE_REDIS", "")
    assert load_settings({"redis": None}).redis == "redis://machine/0"


def test_the_table_is_merged_entry_by_entry(machine: Path, person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write_text('[kafka]\nsecurity.protocol = "SASL_SSL"\n"sasl.username" = "machine"\nlinger.ms = 5\n')
    person.write_text('[kafka.sasl]\nusername = "me"\n')
    monkeypatch.setenv("HEADRACE_KAFKA", '{"sasl.mechanism": "PLAIN"}')
    monkeypatch.setenv("HEADRACE_KAFKA__SASL_PASSWORD", "secret")
    settings = load_settings({"kafka": {"log_level": 3}})
    assert settings.kafka == {
        "security.protocol": "SASL_SSL",
        "sasl.username": "me",
        "linger.ms": "5",
        "sasl.mechanism": "PLAIN",
        "sasl.password": "secret",
        "log.level": "3",
    }
    assert where("kafka.security.protocol") == ("SASL_SSL", "file", f"{machine}:2")
    assert where("kafka.linger.ms") == ("5", "file", f"{machine}:4")
    assert where("kafka.sasl.username") == ("me", "file", f"{person}:2")
    assert where("kafka.sasl.mechanism") == ("PLAIN", "variable", "HEADRACE_KAFKA")
    assert where("kafka.sasl.password") == (HIDDEN, "variable", "HEADRACE_KAFKA__SASL_PASSWORD")


def test_librdkafka_takes_text_so_true_and_numbers_become_text(machine: Path) -> None:
    machine.write_text("[kafka]\nenable.ssl.certificate.verification = false\nretry.backoff.ms = 1.5\n")
    assert load_settings().kafka == {"enable.ssl.certificate.verification": "false", "retry.backoff.ms": "1.5"}


def test_a_named_file_is_read_instead_of_both(machine: Path, person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write_text("slots = 1\n")
    person.write_text('namespace = "mine"\n')
    other = machine.parent / "other.toml"
    other.write_text("slots = 3\n")
    monkeypatch.setenv("HEADRACE_CONFIG", str(other))
    assert (load_settings().slots, load_settings().namespace) == (3, "headrace")
    monkeypatch.setenv("HEADRACE_CONFIG", "")
    assert load_settings().slots == 4


# ---- what is refused


def test_unknown_keys_are_named_with_file_and_line_and_what_was_meant(machine: Path) -> None:
    machine.write_text('slots = 2\n\nbootstraps = "k:9092"\n[rest_prt]\nx = 1\n')
    error = refused()
    assert error.code == "setting-unknown"
    assert f"{machine}:3: there is no setting 'bootstraps', did you mean 'bootstrap'?" in error.message
    assert f"{machine}:4: there is no setting 'rest_prt', did you mean 'rest_port'?" in error.message


def test_wrong_values_are_named_by_the_place_that_counts(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write_text('namespace = "ok"\nslots = 0\nrest_port = "x"\n')
    monkeypatch.setenv("HEADRACE_REST_PORT", "many")
    error = refused({"session_timeout_s": "soon"})
    assert error.code == "settings-invalid" and "explain" in error.hint
    assert f"{machine}:2: slots: Input should be greater than or equal to 1" in error.message
    assert "HEADRACE_REST_PORT: Input should be a valid integer" in error.message
    assert "option session_timeout_s: session_timeout_s: Input should be a valid number" in error.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slots = \n", "is not TOML: .*line 1"),
        ("slots = 1\nslots = 2\n", "is not TOML: .*line 2"),
        ("kafka = [1]\n", r":1: kafka: Input should be a valid dictionary"),
        ("[kafka]\na.b = [1]\n", r":1: kafka: kafka.a.b must be text, a number, or true or false"),
        ('namespace = "with space"\n', ":1: namespace: String should match pattern"),
        ("# " + "x" * 32_000, "is longer than 32000 bytes"),
    ],
)
def test_files_that_cannot_be_used_are_refused_by_name(machine: Path, text: str, words: str) -> None:
    machine.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        load_settings()
    assert str(machine) in caught.value.message


def test_a_file_that_cannot_be_read_is_refused(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.mkdir()
    assert f"{machine} cannot be read" in refused().message
    machine.rmdir()
    machine.write_bytes(b'namespace = "\xff"\n')
    assert f"{machine} is not UTF-8 (byte 13)" in refused().message
    monkeypatch.setenv("HEADRACE_CONFIG", str(machine.parent / "nowhere.toml"))
    assert "nowhere.toml, and there is no such file" in refused().message


@pytest.mark.parametrize(
    ("value", "words"),
    [("{", "HEADRACE_KAFKA: not a JSON object"), ("[1]", "HEADRACE_KAFKA: Input should be a valid dictionary")],
)
def test_a_variable_that_should_be_json_and_is_not(
    machine: Path, monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA", value)
    assert words in refused().message


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_in_a_file_cause_another_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(data)
    try:
        file = read_file(path)
    except UsageError as error:
        assert error.code == "settings-file"
    else:
        assert all(1 <= file.line(name) <= len(file.text.splitlines()) for name in file.values)


def test_a_value_begins_where_its_key_stands() -> None:
    text = '\n# comment\nnamespace = """\na = 1\n"""\n\nslots = 1\n\n[kafka]\na.b = 1\n"c.d" = """x\ny"""\ne.f = 2\n'
    file = SettingsFile(Path("x"), text, {})
    lines = {name: file.line(name) for name in ("namespace", "slots", "kafka", "kafka.a.b", "kafka.c.d", "kafka.e.f")}
    assert lines == {"namespace": 3, "slots": 7, "kafka": 9, "kafka.a.b": 10, "kafka.c.d": 11, "kafka.e.f": 13}


# ---- options


def test_options_are_read_as_values() -> None:
    given = ["rest-port=1", "kafka.sasl.password=a=b", "kafka.linger_ms=5", "redis="]
    assert parse_options(given, KNOWN) == {
        "rest_port": "1",
        "kafka": {"sasl.password": "a=b", "linger.ms": "5"},
        "redis": "",
    }


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("rest_port", "settings-invalid"),
        ("kafka=1", "settings-invalid"),
        ("redis.x=1", "settings-invalid"),
        ("rest_prt=1", "setting-unknown"),
        ("=1", "setting-unknown"),
    ],
)
def test_other_options_are_refused(word: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options([word], KNOWN)
    assert caught.value.code == code


# ---- secrets


def test_no_secret_is_shown(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_REDIS", "rediss://user:hush@redis:6379/0")
    monkeypatch.setenv("HEADRACE_MAVEN_REPO", "https://user:hush@maven.example/")
    monkeypatch.setenv("HEADRACE_REST_TOKEN", "hush-hush-hush")
    machine.write_text('[kafka]\nsasl.password = "hush"\nssl.key.password = "hush"\nssl.key.pem = "hush"\n')
    settings = load_settings()
    assert settings.redis == "rediss://user:hush@redis:6379/0"
    assert "hush" not in repr(settings) + str(settings) + repr(found())
    assert where("redis")[0] == f"rediss://user:{HIDDEN}@redis:6379/0"
    monkeypatch.setenv("HEADRACE_REST_TOKEN", "hush")  # too short
    assert "hush" not in refused().message


# ---- other processes


def test_processes_started_from_here_get_the_same_settings_and_no_kafka_options(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.write_text('job_retention_s = 60\n[kafka]\nsecurity.protocol = "SSL"\n')
    monkeypatch.setenv("HEADRACE_KAFKA__SASL_PASSWORD", "secret")
    environment = child_environment(environment_of(load_settings({"slots": 7})))
    monkeypatch.setattr(os, "environ", environment)
    inside = load_settings()
    assert (inside.job_retention_s, inside.slots, inside.kafka) == (60, 7, {})


def test_variables_that_mean_nothing_are_found(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS", "KAFKA__X_Y", "CONFIG", "OUTPUT", "EMBEDDED", "BOOTSTRAPS", "SLOT"):
        monkeypatch.setenv(f"HEADRACE_{name}", "")
    assert unknown_variables(KNOWN) == ["HEADRACE_BOOTSTRAPS", "HEADRACE_SLOT"]


# ---- facts


@pytest.mark.parametrize("text", ["rest_port", "HEADRACE_REST_PORT", "--rest-port", "rest-port"])
def test_a_setting_is_known_under_all_its_names(text: str) -> None:
    assert fact(name_of(text)).variable == "HEADRACE_REST_PORT"


@pytest.mark.parametrize("text", ["kafka.sasl.password", "HEADRACE_KAFKA__SASL_PASSWORD"])
def test_an_entry_of_the_table_is_known_too(text: str) -> None:
    assert fact(name_of(text)).name == "kafka.sasl.password"
    assert fact(name_of(text)).variable == "HEADRACE_KAFKA__SASL_PASSWORD"


@pytest.mark.parametrize("text", ["rest_prt", "redis.x", "HEADRACE_X", ""])
def test_what_is_no_setting_is_not_explained(text: str) -> None:
    with pytest.raises(UsageError, match="there is no setting"):
        fact(name_of(text))
