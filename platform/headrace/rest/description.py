"""What the own API looks like: its OpenAPI document, and the same as one page of HTML.

The page is made here, without scripts and without anything from other servers, so it is there offline too.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from headrace.rest.models import ErrorBody

Json = dict[str, Any]

SUMMARY = """Look-ups, submissions and commands of one Headrace namespace; every Dispatcher answers all of it.

Errors of every route are {"error": {"code", "message", "hint"}}; docs/errors explains each code. Unknown fields and
query parameters are refused. When a token is set, send it as Authorization: Bearer."""

STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
code,pre{font:13px/1.4 ui-monospace,monospace}pre{background:#8881;padding:.6rem;overflow:auto}
table{border-collapse:collapse}td,th{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}
h3 b{display:inline-block;min-width:4rem}details{margin:.3rem 0}"""


def openapi_document(app: FastAPI) -> Json:
    """OpenAPI 3.1 of the routes that are in the schema; made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=SUMMARY, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["ErrorBody"] = ErrorBody.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schemas["ErrorBody"].pop("$defs")
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{}, {"token": []}]
        for operation in _operations(document):
            _describe(operation, schemas)
        app.openapi_schema = document
    return app.openapi_schema


def _operations(document: Json) -> Iterator[Json]:
    for path in document["paths"].values():
        yield from path.values()


def _describe(operation: Json, schemas: Json) -> None:
    """Our errors instead of the framework's, and bodies' definitions where references look for them."""
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = {
        "description": "An error; its status fits its code.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
    }
    for content in operation.get("requestBody", {}).get("content", {}).values():
        for name, definition in content["schema"].pop("$defs", {}).items():
            schemas[f"{name}-Input"] = definition


def html_page(document: Json) -> str:
    """The document for reading."""
    info = document["info"]
    parts = [
        f"<h1>{_text(info['title'])} {_text(info['version'])}: REST</h1>",
        *(f"<p>{_text(paragraph)}</p>" for paragraph in info["description"].split("\n\n")),
        '<p><a href="openapi.json">openapi.json</a></p>',
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(_operation(method, path, operation))
    parts.append("<h2>Schemas</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts.append(
            f'<details id="{_text(name)}"><summary><code>{_text(name)}</code> {_text(schema.get("description", ""))}'
            f"</summary><pre>{_text(json.dumps(schema, indent=2))}</pre></details>"
        )
    title = _text(info["title"])
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title} REST</title>'
    body = "".join(parts)
    return f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>'


def _operation(method: str, path: str, operation: Json) -> str:
    rows = [
        f"<tr><td><code>{_text(each['name'])}</code></td><td>{_text(each['in'])}</td>"
        f"<td><code>{_text(_schema_text(each.get('schema', {})))}</code></td></tr>"
        for each in operation.get("parameters", [])
    ]
    rows += [
        f"<tr><td>body</td><td>{_text(kind)}</td><td>{_schema_link(content.get('schema', {}))}</td></tr>"
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    rows += [
        f"<tr><td>answer</td><td>{_text(status)}</td><td>{_schema_link(content.get('schema', {}))}</td></tr>"
        for status, response in operation["responses"].items()
        for content in response.get("content", {}).values()
    ]
    text = "".join(f"<p>{_text(part)}</p>" for part in operation.get("description", "").split("\n\n") if part)
    return f"<h3><b>{method.upper()}</b> <code>{_text(path)}</code></h3>{text}<table>{''.join(rows)}</table>"


def _schema_text(schema: Json) -> str:
    """A parameter's schema in few words: type, bounds, default."""
    one_of = schema.get("anyOf", [schema])
    kinds = [str(each.get("type") or each.get("$ref", "").rpartition("/")[2]) for each in one_of]
    words = [" or ".join(kinds)]
    words += [f"{name} {schema[name]}" for name in ("minimum", "maximum", "pattern", "default") if name in schema]
    return ", ".join(words)


def _schema_link(schema: Json) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    if name:
        return f'<a href="#{_text(name)}"><code>{_text(name)}</code></a>'
    return f"<code>{_text(schema.get('title') or _schema_text(schema))}</code>"


def _text(text: str) -> str:
    return html.escape(str(text))
