"""What the tests of collecting share."""

from __future__ import annotations

import pytest

from collect.report import figures


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, for tests about words: drawing takes most of a report's time."""
    monkeypatch.setattr(figures, "FIGURES", ())
