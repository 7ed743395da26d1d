"""Names of topics, and bytes that a person is to read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.protocol.topics import Topics
from streamctl.json_schemas import PeekedRecord
from streamctl.kafka_topics import Kind, kind_of
from streamctl.peek import Peeked, as_text, described, shown
from streamctl.topic_tables import short_name

JOB = "a" * 32


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bids", Kind.DATA),
        ("headrace", Kind.DATA),
        ("headrace.mine", Kind.DATA),
        ("headracex.jobs", Kind.DATA),
        ("other.jobs", Kind.DATA),
        ("headrace.jobs", Kind.CONTROL),
        ("headrace.dead-letters", Kind.CONTROL),
        (Topics().exchange(JOB, 1, "e1"), Kind.EXCHANGE),
        (Topics().lane_log(JOB, 1, "v1"), Kind.LANE_LOG),
        ("__transaction_state", Kind.KAFKA),
    ],
)
def test_what_a_topic_is_tells_its_name(name: str, kind: Kind) -> None:
    assert kind_of(name, Topics()) is kind


@pytest.mark.parametrize("namespace", ["headrace", "team.one"])
def test_a_jobs_topic_is_shown_with_the_digits_that_other_tables_show(namespace: str) -> None:
    assert short_name(Topics(namespace).exchange(JOB, 1, "e1"), namespace) == f"{namespace}.x.{'a' * 11}….1.e1"
    assert short_name("x." + JOB, namespace) == "x." + JOB


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "-"),
        (b"", ""),
        (b"plain", "plain"),
        (b"two\r\nlines\t", "two\\r\\nlines\\t"),
        ("Köln".encode(), "Köln"),
        (b"\x1b[31mred", "0x1b5b33316d726564"),
        ("\u202eabc".encode(), "0xe280ae616263"),
        (b"\xff\xfe", "0xfffe"),
        (bytes(1000), "0x" + "00" * 48 + "… (1,000 bytes)"),
    ],
)
def test_bytes_are_shown_as_text_only_when_a_terminal_can_take_it(data: bytes | None, text: str) -> None:
    assert shown(data) == text


@given(st.binary(max_size=200))
def test_what_is_shown_is_one_printable_line(data: bytes) -> None:
    assert shown(data).isprintable()
    text = as_text(data)
    assert text is None or text.encode() == data


@given(st.sampled_from(Kind), st.none() | st.binary(max_size=60), st.none() | st.binary(max_size=60))
def test_any_record_is_printed_in_its_documented_form(kind: Kind, key: bytes | None, value: bytes | None) -> None:
    record = Peeked(0, 1, None, key, value, [("h", key), ("h", value)])
    PeekedRecord.model_validate(record.json(kind))
    assert described(value, kind) == "" or kind in (Kind.EXCHANGE, Kind.LANE_LOG)
