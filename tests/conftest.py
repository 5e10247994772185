"""What every test may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from image import function_image
from steal import disturbed

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["function_image"]
# How long an example takes says nothing about whether it holds; machines are noisy.
settings.register_profile("faasbed", deadline=None)
settings.load_profile("faasbed")

ROOT = Path(__file__).resolve().parent.parent
NEWS = ROOT.parent / "shared" / "data" / "news-315.json"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip, with its reason, what this machine could not run."""
    report = yield
    if report.failed and (reason := disturbed(report.longreprtext)):
        report.outcome, report.longrepr = "skipped", (str(item.path), item.location[1], f"Skipped: {reason}")
    return report


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root."""
    return ROOT


@pytest.fixture(scope="session")
def news() -> Path:
    """The peer's own example: 315 real news texts; the test is skipped with that reason where it is not there."""
    if not NEWS.exists():
        pytest.skip(f"the peer's example news-315.json is not at {NEWS}")
    return NEWS
