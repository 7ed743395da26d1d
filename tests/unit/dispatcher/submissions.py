"""Small valid submissions, as anybody may write them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

CODE = b"\x81\xa1f\xa1x"


def submit(job_id: str = "a" * 32, request_id: str = "r1", **changes: Any) -> dict[str, Any]:
    """One source that prints, with inline code; ``changes`` replace whole fields."""
    source = {
        "uid": "s",
        "kind": "collection_source",
        "name": "numbers",
        "params": {"count": 1},
        "functions": {"items": "f"},
    }
    sink = {"uid": "p", "kind": "print", "name": "print", "input": 0}
    return {
        "version": 1,
        "type": "submit",
        "request_id": request_id,
        "job_id": job_id,
        "name": "numbers",
        "graph": {"vertices": [{"id": "v1", "name": "numbers -> print", "operators": [source, sink]}]},
        "code": {"sha256": hashlib.sha256(CODE).hexdigest(), "data": base64.b64encode(CODE).decode()},
    } | changes


def cancel(job_id: str = "a" * 32, request_id: str = "c1") -> dict[str, Any]:
    return {"version": 1, "type": "cancel", "request_id": request_id, "job_id": job_id}


def encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()
