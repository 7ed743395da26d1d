"""docs/errors/README.md lists every page with its first sentence. HEADRACE_UPDATE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

from tests.house.error_situations import table

FOLDER = Path(__file__).parents[2] / "docs" / "errors"
HEAD = """# Errors

Every error that a person can meet has a code, shown in brackets. Each page says what it means, why it happens and
what to do. The exit statuses of `streamctl` are in [../cli.md](../cli.md).

## First mistakes

What people run into in their first hour. Each row is played by a test. When a job ends FAILED,
`streamctl submit` says `job-failed`; the code here is that of the reason, which stands in its message.

{situations}
## All codes

| code | means |
|---|---|
"""


def first_sentence(page: Path) -> str:
    title, _, body = page.read_text(encoding="utf-8").partition("\n\n")
    assert title == f"# {page.stem}", f"{page.name} must begin with its code as title"
    return " ".join(body.partition("\n\n")[0].split())


def test_index_of_errors_lists_every_page() -> None:
    pages = sorted(page for page in FOLDER.glob("*.md") if page.name != "README.md")
    head = HEAD.replace("{situations}", table())
    index = head + "".join(f"| [{page.stem}]({page.name}) | {first_sentence(page)} |\n" for page in pages)
    if os.environ.get("HEADRACE_UPDATE_GOLDEN"):
        (FOLDER / "README.md").write_text(index, encoding="utf-8")
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == index
