"""What every test may ask for."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cluster import cluster
from hypothesis import settings
from image import function_image
from own_nodes import own
from releases import released, site
from steal import disturbed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["cluster", "function_image", "own", "released", "site"]
# How long an example takes says nothing about whether it holds; machines are noisy.
settings.register_profile("faasbed", deadline=None)
settings.load_profile("faasbed")

ROOT = Path(__file__).resolve().parent.parent
NEWS = ROOT.parent / "shared" / "data" / "news-315.json"
# How nice tests are to those beside them whose links are judged by what a millisecond shows.
NICENESS_BESIDE_LINKS = 10


def pytest_configure() -> None:
    """Have what tests start end by the signals that end it for a user.

    A shell's background job, and what nohup starts, ignores some; programs inherit that, and would outlive their tests. A
    handler is not inherited.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, lambda *_: None)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name tests by their bytes' argument: what is packed has its time in it, and processes collect at different times."""
    return argname if isinstance(val, bytes) else None


def group_of(item: pytest.Item) -> str:
    """Return whether a test judges links, needs nodes only, or neither."""
    marker = item.get_closest_marker("lab")
    return "alone" if marker is None else "links" if marker.kwargs.get("judges_links", True) else "nodes"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In several processes, give all tests that judge links to one: two at once disturb each other.

    Those that need nodes go to one, too, because they share them. Both are begun first: they take longest.
    """
    if not is_worker():
        return
    for item in items:
        if (group := group_of(item)) != "alone":
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: ("links", "nodes", "alone").index(group_of(item)))


def is_worker() -> bool:
    """Return whether this process is one of several that run the tests."""
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where tests run in several processes, those that judge no links stand back."""
    if is_worker() and os.geteuid() == 0:  # only root may take it back
        os.setpriority(os.PRIO_PROCESS, 0, 0 if group_of(item) == "links" else NICENESS_BESIDE_LINKS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip, with its reason, what this machine could not run."""
    report = yield
    if report.failed and (reason := disturbed(report.longreprtext)):
        report.outcome, report.longrepr = "skipped", (str(item.path), item.location[1] or 0, f"Skipped: {reason}")
    return report


@pytest.fixture(autouse=True)
def _scheduled_as_before() -> Iterator[None]:
    """A test that left this process before all others would slow down those that follow, and what they start."""
    before = os.sched_getscheduler(0)
    yield
    assert os.sched_getscheduler(0) == before, "the test changed how this process is scheduled"


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
