"""A fault's row, as its test may ask for it: the sentences that docs/faults.md promises are those that the test finds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def reads(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Check that a text holds all that the fault's row says the user reads; `…` stands for what differs."""
    marker = request.node.get_closest_marker("fault")
    assert marker is not None, "the test is no row of the table: pytest.mark.fault is missing"
    sentences = marker.kwargs["reads"]
    expected = [sentences] if isinstance(sentences, str) else sentences

    def check(text: str) -> None:
        printed = " ".join(text.split())
        for sentence in expected:
            pattern = ".*?".join(re.escape(part.strip()) for part in sentence.split("…"))
            assert re.search(pattern, printed), f"expected {sentence!r} in:\n{text}"

    return check
