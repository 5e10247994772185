"""Writes the table of docs/faults.md from the tests that inject the faults, in tests/faults.

``python -m docs.faults`` writes the table; with ``--check`` it writes nothing and returns 1 where the page is outdated.
A row is what stands in the test's ``pytest.mark.fault``; the tests find in the output what the row says the user reads.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from docs import marks

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "faults"
PAGE = ROOT / "docs" / "faults.md"
NAME = "faults"
HEADINGS = ("fault", "step", "on", "what happens", "what is lost", "until when", "what the user reads")


@dataclass(frozen=True)
class Fault:
    """One row; the attributes are the keywords of ``pytest.mark.fault``."""

    what: str
    step: str
    on: str
    seen: str
    ends: str
    reads: tuple[str, ...]
    lost: str = "nothing"

    def row(self) -> str:
        """Return the row in Markdown."""
        told = "<br>".join(f"`{sentence}`" for sentence in self.reads) or "(nothing to do, nothing is said)"
        cells = (self.what, self.step, self.on, self.seen, self.lost, self.ends, told)
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def faults(folder: Path = TESTS) -> list[Fault]:
    """Return the rows in the order of the steps' files and of the tests in them.

    Raises:
        ValueError: a test has no row, or a row lacks a keyword, has an unknown one or one that is not written out.
    """
    return [
        _fault(node, path)
        for path in sorted(folder.glob("test_*.py"))
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def _fault(test: ast.FunctionDef, path: Path) -> Fault:
    where = f"{path.name}:{test.lineno}: {test.name}"
    for decorator in test.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
            try:
                given = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in decorator.keywords}
                reads = given.pop("reads")
                return Fault(**given, reads=(reads,) if isinstance(reads, str) else tuple(reads))
            except (KeyError, TypeError, ValueError) as error:
                names = ", ".join(field.name for field in fields(Fault))
                raise ValueError(f"{where}: expected the keywords {names} as literals: {error}") from error
    raise ValueError(f"{where}: has no pytest.mark.fault, so it is no row of the table")


def table(rows: list[Fault]) -> str:
    """Return the Markdown table."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"| {' | '.join('---' for _ in HEADINGS)} |"]
    return "\n".join([*lines, *(fault.row() for fault in rows), "", f"{len(rows)} faults."])


def main(arguments: list[str]) -> int:
    """Write the table, or check it; return 1 where it is outdated, or a test has no whole row."""
    try:
        return marks.update(PAGE, NAME, table(faults()), "python -m docs.faults", check="--check" in arguments)
    except ValueError as error:
        print(error)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
