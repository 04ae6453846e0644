"""The pages of the documentation: their prose, and their fenced blocks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

HOME = Path(__file__).resolve().parent.parent
DOCS = HOME / "docs"
PAGES = [HOME / "README.md", *sorted(DOCS.glob("*.md"))]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    number: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.number}"


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path, *kinds: str) -> list[Block]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(page, i, kind, text) for i, (kind, text) in enumerate(found, 1) if not kinds or kind in kinds]


def every(*kinds: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, *kinds)]
