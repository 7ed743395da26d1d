"""The JSON Schema of what may be produced to ``<ns>.jobs``.

    python -m headrace.protocol.schema > docs/contract/submission.schema.json

A test compares the committed file with this. Pure: no I/O but the print above.
"""

from __future__ import annotations

import json

from headrace.protocol.submission import InboxMessage


def submission_schema() -> str:
    """The schema as the text of the committed file."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | InboxMessage.model_json_schema()
    schema["title"] = "Message on <namespace>.jobs"
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(submission_schema(), end="")
