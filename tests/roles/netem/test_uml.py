"""What the guest sends arrives, and a guest that fails is told from one that has nothing more to send."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from uml import remote
from uml.boot import GuestError, messages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Have a script print in the guest's place."""
    program = folder / "chrt"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_messages_arrive_among_what_else_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = r"""printf 'booting\r\nMESSAGE {"a": 1}\r\ntest_x MESSAGE [2]\r\nEND\r\n'"""
    stand_in(tmp_path, monkeypatch, script)
    assert list(messages("session", silence_s=10)) == [{"a": 1}, [2]]


@pytest.mark.parametrize(
    ("script", "last"),
    [
        ("echo 'MESSAGE 1'; echo 'Kernel panic'; printf 'not syncing'", "Kernel panic\nnot syncing"),
        ("echo 'MESSAGE 1'; echo 'test_x'; sleep 3600.5", "test_x\n(it printed nothing for 0.5 s)"),
    ],
    ids=["ended", "silent"],
)
def test_a_guest_that_does_not_come_to_its_programs_end_fails_with_its_last_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, last: str
):
    stand_in(tmp_path, monkeypatch, script)
    incoming = messages("session", silence_s=0.5)
    assert next(incoming) == 1
    with pytest.raises(GuestError) as failed:
        next(incoming)
    assert str(failed.value) == f"the guest in user-mode Linux ended before its program did:\n{last}"


def test_a_test_without_a_report_fails_with_the_guests_last_output(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
):
    item, hook = request.node, request.config.hook
    setup = pytest.TestReport(remote.guest_id(item), item.location, {}, "passed", None, "setup")

    def panicking(*_: str, **__: float) -> Iterator[Any]:
        yield hook.pytest_report_to_serializable(config=request.config, report=setup)
        raise GuestError("Kernel panic")

    monkeypatch.setattr(remote, "messages", panicking)
    guest = remote.Guest([item])
    for expected in (
        [("setup", "passed", ""), ("call", "failed", "Kernel panic")],
        [("call", "failed", "Kernel panic")],
    ):
        reports = list(guest.reports(item))
        assert [(report.when, report.outcome, report.longreprtext) for report in reports] == expected
