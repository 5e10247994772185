"""The links are cleared whatever happens, and the first error is the one that is told."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from experiments.errors import RunError
from experiments.progress import Reporter
from experiments.steps import links_cleared


class Recorded:
    """Stands where playbooks are run: remembers their names, and fails when a test says so."""

    def __init__(self, error: RunError | None = None) -> None:
        self.names: list[str] = []
        self._error = error

    def run(self, playbook: str, **_: Any) -> dict[str, Any]:
        self.names.append(playbook)
        if self._error:
            raise self._error
        return {}


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def reporter(output: io.StringIO) -> Reporter:
    return Reporter(Console(file=output, width=200, highlight=False))


def test_links_are_cleared_at_the_end(reporter: Reporter) -> None:
    playbooks = Recorded()
    with links_cleared(playbooks, reporter):
        assert playbooks.names == []
    assert playbooks.names == ["clear"]


@pytest.mark.parametrize("error", [RunError("the gate refused"), KeyboardInterrupt(), ZeroDivisionError()])
def test_links_are_cleared_on_failure_and_on_ctrl_c(reporter: Reporter, error: BaseException) -> None:
    playbooks = Recorded()
    with pytest.raises(type(error)), links_cleared(playbooks, reporter):
        raise error
    assert playbooks.names == ["clear"]


def test_a_failure_to_clear_does_not_hide_the_first_error(reporter: Reporter, output: io.StringIO) -> None:
    playbooks = Recorded(RunError("bs is unreachable"))
    with pytest.raises(RunError, match="the gate refused"), links_cleared(playbooks, reporter):
        raise RunError("the gate refused")
    assert "the links could not be cleared: bs is unreachable" in output.getvalue()


def test_a_failure_to_clear_after_success_is_an_error(reporter: Reporter) -> None:
    with (
        pytest.raises(RunError, match="bs is unreachable"),
        links_cleared(Recorded(RunError("bs is unreachable")), reporter),
    ):
        pass
