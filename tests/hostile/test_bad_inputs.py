"""Each bad input of the table is answered as the table says, by the real code of its surface."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bad_inputs import is_answer, rows
from surfaces_by_name import SURFACES

if TYPE_CHECKING:
    from bad_inputs import Row
    from surfaces_by_name import Surfaces

LEAST = 400
ROWS = [row for surface in SURFACES for row in rows(surface)]


def test_the_table_has_this_many_distinct_inputs() -> None:
    assert len(ROWS) >= LEAST
    assert len({repr(row.given) for row in ROWS}) == len(ROWS)
    assert len({(row.surface, row.what) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.surface}: {row.what}")
def test_a_bad_input_is_answered_as_the_table_says(row: Row, surfaces: Surfaces) -> None:
    answer = surfaces[row.surface].answer(**row.given)
    assert is_answer(row.answer, answer), f"{row.what}: expected {row.answer!r}, but it is {answer!r}"
