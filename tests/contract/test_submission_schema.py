"""The committed contract is the one that Dispatchers apply, and its example works."""

from __future__ import annotations

import json
import re
from pathlib import Path

from headrace.dispatcher.messages import Readable, read_message
from headrace.protocol.schema import submission_schema

DOCS = Path(__file__).parents[2] / "docs" / "contract"


def test_the_committed_schema_is_the_models():
    """After a change on purpose: python -m headrace.protocol.schema > docs/contract/submission.schema.json"""
    assert (DOCS / "submission.schema.json").read_text() == submission_schema()


def test_unknown_fields_are_refused_everywhere():
    schema = json.loads(submission_schema())
    objects = {name: each for name, each in schema["$defs"].items() if each.get("type") == "object"}
    assert len(objects) > 8
    assert [name for name, each in objects.items() if each.get("additionalProperties") is not False] == []


def test_the_example_is_taken():
    (example,) = re.findall(r"```json\n(.*?)```", (DOCS / "README.md").read_text(), re.DOTALL)
    assert isinstance(read_message(example.encode()), Readable)
