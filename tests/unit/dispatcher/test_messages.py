"""The inbox takes what is valid and says what is wrong with everything else."""

from __future__ import annotations

import copy
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dispatcher.submissions import cancel, encoded, submit

from headrace.dispatcher.messages import Readable, Unreadable, read_message
from headrace.protocol.submission import SUBMISSION_BYTES_MAX, Cancel, Submit

JOB = "a" * 32


def unreadable(value: bytes | None) -> Unreadable:
    read = read_message(value)
    assert isinstance(read, Unreadable)
    return read


def test_a_submission_goes_under_its_content():
    first, again = read_message(encoded(submit())), read_message(encoded(submit(request_id="r2")))
    other = read_message(encoded(submit(name="other")))
    assert isinstance(first, Readable) and isinstance(again, Readable) and isinstance(other, Readable)
    assert isinstance(first.message, Submit)
    assert first.key == again.key == f"{JOB}/submission/{first.message.content_sha256()}"
    assert other.key != first.key


def test_a_command_goes_under_its_request():
    read = read_message(encoded(cancel()))
    assert isinstance(read, Readable) and isinstance(read.message, Cancel)
    assert read.key == f"{JOB}/cmd/c1"


@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe", b"hello", b'{"type": "submit"', b"[" * 100_000])
def test_bytes_that_are_no_json(value):
    found = unreadable(value)
    assert found.code == "submission-unreadable"
    assert (found.job_id, found.request_id) == (None, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"colour": 1}, "colour: unknown field"),
        ({"type": "destroy"}, "message: Input tag 'destroy'"),
        ({"version": 2}, "version: Input should be 1, not 2"),
        ({"job_id": "ABC"}, "job_id: String should match pattern '^[0-9a-f]{32}$', not 'ABC'"),
        ({"request_id": "a b"}, "request_id: String should match pattern"),
        ({"name": ""}, "name: String should have at least 1 character, not ''"),
        ({"graph": {"vertices": []}}, "graph.vertices: Tuple should have at least 1 item"),
        ({"delivery": "maybe"}, "delivery: Input should be 'exactly-once' or 'at-least-once', not 'maybe'"),
        ({"restart": {"type": "never"}}, "restart: Input tag 'never'"),
        ({"config": {"a": 1}}, "config.a: Input should be a valid string, not 1"),
    ],
)
def test_a_field_that_is_wrong_is_named(change, reason):
    found = unreadable(encoded(submit() | change))
    assert found.code == "submission-invalid"
    assert found.reason.startswith(reason)


def test_a_missing_field_and_a_deep_unknown_one_are_named():
    message = submit()
    del message["name"]
    message["graph"]["vertices"][0]["operators"][1]["colour"] = "red"
    assert unreadable(encoded(message)).reason == (
        "name: Field required; graph.vertices.0.operators.1.colour: unknown field"
    )


def test_many_mistakes_are_counted():
    message = submit() | {f"field{n}": n for n in range(9)}
    assert unreadable(encoded(message)).reason.endswith("field4: unknown field; and 4 more")


def test_the_sender_is_known_when_its_ids_can_be_read():
    found = unreadable(encoded(submit(graph=1)))
    assert (found.job_id, found.request_id) == (JOB, "r1")
    found = unreadable(encoded(submit(job_id="x", request_id="y z")))
    assert (found.job_id, found.request_id) == (None, None)
    found = unreadable(encoded({"job_id": 1, "request_id": [2]}))
    assert (found.job_id, found.request_id) == (None, None)


def test_too_large():
    found = unreadable(encoded(submit(name="x" * SUBMISSION_BYTES_MAX)))
    assert found.code == "submission-too-large" and found.job_id == JOB
    assert "900,000" in found.reason


def test_a_plan_that_would_not_fit_one_message():
    message = submit()
    vertex = message["graph"]["vertices"][0] | {"lanes": 64}
    vertices = []
    for n in range(200):
        one = copy.deepcopy(vertex) | {"id": f"v{n}"}
        for operator in one["operators"]:
            operator["uid"] = f"{operator['uid']}{n}"
        vertices.append(one)
    found = unreadable(encoded(submit(graph={"vertices": vertices})))
    assert found.code == "plan-too-large" and "12800 lanes" in found.reason


def test_code_that_does_not_match():
    assert "sha256" in unreadable(encoded(submit(code={"sha256": "0" * 64, "data": "QUJD"}))).reason
    assert "base64" in unreadable(encoded(submit(code={"sha256": "0" * 64, "data": "?"}))).reason


@given(st.binary(max_size=200))
def test_no_bytes_raise(value):
    read_message(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(sorted(submit())), json_values)
def test_no_field_value_raises(field, value):
    read_message(json.dumps(submit() | {field: value}).encode())


def test_half_a_million_mistakes_are_refused_quickly():
    started = time.process_time()
    found = unreadable(encoded(submit(graph={"vertices": [{}] * 200_000})))
    assert found.code == "submission-invalid"
    assert time.process_time() - started < 2
