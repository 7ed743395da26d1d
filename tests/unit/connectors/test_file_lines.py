"""Lines cut out of files: every line once, with the right offset after it, however the file arrives."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.runtime.files import lines as module
from headrace.runtime.files.lines import Lines, LineTooLongError


class Dribbling(io.BytesIO):
    """Gives fewer bytes than asked for, as pipes and networks do."""

    def __init__(self, data: bytes, pieces: list[int]) -> None:
        super().__init__(data)
        self._pieces = itertools.cycle(pieces)

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, next(self._pieces)))


def all_of(lines: Lines, at_a_time: int) -> list[tuple[bytes, int]]:
    """Each take's last line with the offset after it; all lines are in order in between."""
    found = []
    while taken := lines.take(at_a_time):
        found += [(line, -1) for line in taken[:-1]] + [(taken[-1], lines.offset)]
    return found


@settings(max_examples=200, deadline=None)
@given(
    data=st.binary(max_size=60).map(lambda raw: raw.replace(b"\x00", b"\n").replace(b"\xef", b"x")),
    pieces=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    at_a_time=st.integers(1, 5),
)
def test_lines_and_offsets(data: bytes, pieces: list[int], at_a_time: int) -> None:
    expected = data.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    found = all_of(Lines(Dribbling(data, pieces), 0), at_a_time)
    assert [line for line, _ in found] == expected
    for number, (_, offset) in enumerate(found):
        if offset >= 0:
            rest = Lines(io.BytesIO(data[offset:]), offset)
            assert [line for line, _ in all_of(rest, 3)] == expected[number + 1 :]
    if found:
        assert found[-1][1] == len(data)


def test_the_end_stays_the_end() -> None:
    lines = Lines(io.BytesIO(b"a\nb"), 0)
    assert lines.take(5) == [b"a"]
    assert lines.take(5) == [b"b"]
    assert [lines.take(5), lines.take(5), lines.offset] == [[], [], 3]


def test_the_mark_of_utf8_is_no_text() -> None:
    lines = Lines(io.BytesIO(b"\xef\xbb\xbfa\nb\n"), 0)
    assert (lines.take(1), lines.offset) == ([b"a"], 5)
    assert Lines(io.BytesIO(b"\xef\xbb\xbfa\n"), 9).take(1) == [b"\xef\xbb\xbfa"]


def test_a_file_without_lines_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_BYTES_MAX", 1_000_000)
    file = io.BytesIO(b"x" * 5_000_000)
    with pytest.raises(LineTooLongError):
        Lines(file, 0).take(1)
    assert file.tell() < 1_500_000
