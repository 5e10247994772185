"""Hooks of pytest's for tests of the kernel's backend: they run in the guest, and their reports are shown here.

The guest boots once, before the first of them, for all that the session has selected.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict, deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from uml.boot import GuestError, messages, unusable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

TESTS = Path(__file__).resolve().parents[1] / "kernel"
SILENCE_S = 600  # of a guest on a busy machine, which prints something at the start and the end of each test


class Guest:
    """The session in the guest: its reports come in any order and are taken test by test."""

    def __init__(self, items: list[pytest.Item]) -> None:
        self.config = items[0].config
        self.last = items[-1]
        self._incoming = self._session(items)
        self._waiting: defaultdict[str, deque[pytest.TestReport]] = defaultdict(deque)
        self._failure = "the guest in user-mode Linux has not reported this test"
        self.config.add_cleanup(self._incoming.close)

    def reports(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        """Yield a test's reports as they come; where the guest fails, a failure with its last output."""
        waiting = self._waiting[guest_id(item)]
        try:
            while True:
                while waiting:
                    report = waiting.popleft()
                    report.nodeid = item.nodeid
                    yield report
                    if report.when == "teardown":
                        return
                arrived = next(self._incoming)
                self._waiting[arrived.nodeid].append(arrived)
        except GuestError as error:
            self._failure = str(error)
        except StopIteration:
            pass
        yield pytest.TestReport(item.nodeid, item.location, {}, "failed", self._failure, "call")

    def end(self) -> None:
        """Wait until the guest has switched itself off."""
        with suppress(GuestError):  # there is no test left that it could be reported of
            deque(self._incoming, maxlen=0)

    def _session(self, items: list[pytest.Item]) -> Generator[pytest.TestReport, None, None]:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as arguments:
            arguments.write("\n".join([*self._options(), *map(guest_id, items)]))
            arguments.flush()
            for message in messages("session", arguments.name, silence_s=SILENCE_S):
                yield self.config.hook.pytest_report_from_serializable(config=self.config, data=message)

    def _options(self) -> list[str]:
        """Return what this session was asked for, as far as it changes what a test does or a failure looks like."""
        option = self.config.option
        return [
            f"--maxfail={option.maxfail or 0}",
            f"--tb={option.tbstyle}",
            f"--verbosity={option.verbose}",
            "--override-ini=verbosity_test_cases=1",
            *(["--showlocals"] if option.showlocals else []),
        ]


GUEST = pytest.StashKey[Guest]()


def guest_id(item: pytest.Item) -> str:
    """Return a test's id in the guest, where no pytest-xdist appends its group."""
    names = [node.name for node in item.listchain() if isinstance(node, pytest.Class | pytest.Function)]
    return "::".join([str(item.path.relative_to(item.config.rootpath)), *names])


def in_guest(item: pytest.Item) -> bool:
    return TESTS in item.path.parents


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what runs in the guest where there is none."""
    if reason := unusable():
        for item in filter(in_guest, items):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Have a test run in the guest, and report it as if it ran here."""
    if not in_guest(item) or unusable():
        return None
    session = item.session
    if GUEST not in session.stash:
        session.stash[GUEST] = Guest([each for each in session.items if in_guest(each)])
    guest = session.stash[GUEST]
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in guest.reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    if item is guest.last:
        guest.end()
    # As pytest does at each test's end: what tests on this machine have set up and the next one does not use.
    ending = session.shouldfail or session.shouldstop
    call = pytest.CallInfo.from_call(
        lambda: session._setupstate.teardown_exact(None if ending else nextitem), when="teardown"
    )
    if call.excinfo:
        report = item.ihook.pytest_runtest_makereport(item=item, call=call)
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
