"""The OpenAPI document is whole, and the page is made of nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.rest.world import world

from headrace.rest import errors

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def answers() -> dict[str, httpx.Response]:
    async def ask() -> dict[str, httpx.Response]:
        async with world() as here:
            return {path: await here.client.get(f"/api/v1/{path}") for path in ("openapi.json", "docs")}

    return asyncio.run(ask())


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref":
                yield each
            else:
                yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_reference_leads_somewhere(answers: dict[str, httpx.Response]) -> None:
    document = answers["openapi.json"].json()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) - known == set()
    assert "$defs" not in answers["openapi.json"].text
    assert "HTTPValidationError" not in answers["openapi.json"].text


def test_routes_of_ours_and_no_others(answers: dict[str, httpx.Response]) -> None:
    document = answers["openapi.json"].json()
    found = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    listed = {
        f"{method} {path}"
        for method, path in re.findall(r"^\| `(GET|POST|PUT) (/api/v1/[a-zA-Z0-9/]+)", page(), re.MULTILINE)
    } | {"GET /api/v1/taskmanagers/ID"}
    assert {
        re.sub(r"\{sha256\}", "SHA256", re.sub(r"\{(job_id|taskmanager)\}", "ID", each)) for each in found
    } == listed
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["description"]
            assert operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith(
                "ErrorBody"
            )


def test_the_submission_is_described(answers: dict[str, httpx.Response]) -> None:
    document = answers["openapi.json"].json()
    body = document["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["additionalProperties"] is False
    assert body["properties"]["graph"]["$ref"] == "#/components/schemas/JobGraph-Input"


def test_the_page_needs_nothing_from_elsewhere(answers: dict[str, httpx.Response]) -> None:
    text = answers["docs"].text
    assert not re.search(r"<script|<link|https?://|@import|<img", text)
    for path in answers["openapi.json"].json()["paths"]:
        assert f"<code>{path}</code>" in text
    links, ids = set(re.findall(r'href="#([^"]+)"', text)), set(re.findall(r'id="([^"]+)"', text))
    assert links and links <= ids


def test_codes_of_rest_have_pages() -> None:
    assert [code for code in errors.STATUS if not (ROOT / "docs" / "errors" / f"{code}.md").exists()] == []


def page() -> str:
    return (ROOT / "docs" / "rest.md").read_text()
