"""For the site: links to files of the repository that are no pages become their text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for each page before it is rendered."""
    docs = Path(page.file.src_dir).resolve()
    folder = docs / Path(page.file.src_path).parent

    def shown(link: re.Match[str]) -> str:
        target = (folder / link[2]).resolve()
        is_page = target.is_relative_to(docs) and target.is_file()
        return link[0] if is_page else link[1]

    return LINK.sub(shown, markdown)
