"""The page of faults is that of the tests which inject them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from docs import faults

if TYPE_CHECKING:
    from pathlib import Path

ROW = '@pytest.mark.fault(what="a disk | full", step="measure", on="local", seen="it stops", ends="at once", reads="…: full")'


def test_the_page_has_a_row_for_each_test() -> None:
    assert faults.main(["--check"]) == 0, "run python -m docs.faults"


def test_a_row_is_what_stands_in_the_tests_marker(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(f"{ROW}\ndef test_it():\n    pass\n")
    (row,) = faults.table(faults.faults(tmp_path)).splitlines()[2:3]
    assert row == "| a disk \\| full | measure | local | it stops | nothing | at once | `…: full` |"


@pytest.mark.parametrize(
    "decorator", ["", "@pytest.mark.fault(what='x')", ROW.replace('"at once"', "soon"), ROW.replace("ends", "end")]
)
def test_a_test_without_a_whole_row_is_named(tmp_path: Path, decorator: str) -> None:
    (tmp_path / "test_one.py").write_text(f"{decorator}\ndef test_it():\n    pass\n")
    with pytest.raises(ValueError, match=r"^test_one.py:\d: test_it: "):
        faults.faults(tmp_path)
