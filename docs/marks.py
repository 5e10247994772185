"""The generated part of a document, between two marks that are comments in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def replaced(text: str, name: str, content: str) -> str:
    """Return a document with new content between its marks ``<!-- name -->`` and ``<!-- end of name -->``.

    Raises:
        ValueError: the document lacks a mark.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if begin not in text or end not in text:
        raise ValueError(f"expected the marks {begin} and {end}")
    before, rest = text.split(begin, 1)
    return f"{before}{begin}\n{content}\n{end}{rest.split(end, 1)[1]}"


def update(page: Path, name: str, content: str, command: str, *, check: bool) -> int:
    """Write the generated part of a page; with `check` only print that it is outdated, and what writes it.

    Returns:
        1 where it is outdated and was not written, else 0.

    Raises:
        ValueError: the page lacks a mark.
    """
    text = page.read_text("utf-8")
    expected = replaced(text, name, content)
    if text == expected:
        return 0
    if check:
        print(f"{page.name}: the table of {name} is outdated: run {command}")
        return 1
    page.write_text(expected, "utf-8")
    return 0
