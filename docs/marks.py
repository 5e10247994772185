"""The generated part of a document, between two marks that are comments in Markdown."""

from __future__ import annotations


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
