"""W2, the running word count: every update of every word goes to the sink topic, and every one is checked."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from pydantic import JsonValue

from streamctl.bench.drain import PARTITIONS, Rows, job_file

INPUT, OUTPUT = "words", "word-counts"
WORDS = 5_000
SEED = 2


class RunningWordCount:
    """{"word": "abcdefg"}, words of seven letters."""

    name = "w2"
    output = OUTPUT

    def __init__(self, records: int) -> None:
        self.script = job_file("running_word_count.py")
        self.records = records
        self._truth: Counter[str] = Counter()

    def inputs(self) -> Mapping[str, Iterable[tuple[int, bytes]]]:
        return {INPUT: self._words()}

    def _words(self) -> Iterator[tuple[int, bytes]]:
        chance = random.Random(SEED)
        letters = "abcdefghijklmnopqrstuvwxyz"
        words = ["".join(chance.choices(letters, k=7)) for _ in range(WORDS)]
        for n in range(self.records):
            word = chance.choice(words)
            self._truth[word] += 1
            yield n % PARTITIONS, f'{{"word":"{word}"}}'.encode()

    def arguments(self) -> list[str]:
        return ["--input", INPUT, "--output", OUTPUT]

    def exact(self, rows: Rows) -> bool:
        return every_update(rows, self._truth)

    def facts(self) -> dict[str, JsonValue]:
        return {"keys": len(self._truth)}


def every_update(rows: Rows, truth: Mapping[str, int]) -> bool:
    """Whether each word was counted 1, 2, 3 ... up to its number, in this order and each once."""

    class Update(msgspec.Struct):
        word: str
        count: int

    decode = msgspec.json.Decoder(Update).decode
    last: Counter[str] = Counter()
    for _, value in rows:
        update = decode(value)
        if update.count != last[update.word] + 1:
            return False
        last[update.word] = update.count
    return last == truth
