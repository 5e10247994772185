"""The links are cleared whatever happens, and the first error is the one that is reported."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from playbook_record import Recorded
from rich.console import Console

from experiments import gate
from experiments.progress import Reporter
from nodes.errors import PlaybookError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def reporter(output: io.StringIO) -> Reporter:
    return Reporter(Console(file=output, width=200, highlight=False))


def test_links_are_cleared_at_the_end(reporter: Reporter) -> None:
    playbooks = Recorded()
    with gate.cleared(playbooks, reporter):
        assert playbooks.names == []
    assert playbooks.names == ["clear"]


@pytest.mark.parametrize("error", [PlaybookError("the gate refused"), KeyboardInterrupt(), ZeroDivisionError()])
def test_links_are_cleared_on_failure_and_on_ctrl_c(reporter: Reporter, error: BaseException) -> None:
    playbooks = Recorded()
    with pytest.raises(type(error)), gate.cleared(playbooks, reporter):
        raise error
    assert playbooks.names == ["clear"]


def test_a_failure_to_clear_does_not_hide_the_first_error(reporter: Reporter, output: io.StringIO) -> None:
    playbooks = Recorded(PlaybookError("bs is unreachable"))
    with pytest.raises(PlaybookError, match="the gate refused"), gate.cleared(playbooks, reporter):
        raise PlaybookError("the gate refused")
    assert "the links could not be cleared: bs is unreachable" in output.getvalue()


def test_a_failure_to_clear_after_success_is_an_error(reporter: Reporter) -> None:
    with (
        pytest.raises(PlaybookError, match="bs is unreachable"),
        gate.cleared(Recorded(PlaybookError("bs is unreachable")), reporter),
    ):
        pass


def test_the_backend_is_one_sentence_where_all_nodes_have_the_same() -> None:
    playbooks = Recorded(netem_backend={"bs": "kernel: netem", "edge-1": "kernel: netem"})
    assert gate.shape(playbooks, {"netem_links": []}) == "kernel: netem"
    playbooks = Recorded(netem_backend={"bs": "kernel: netem", "edge-1": "emulator: no netem"})
    assert gate.shape(playbooks, {}) == "kernel: netem; emulator: no netem"


def test_a_verification_is_a_sentence_for_each_link(tmp_path: Path) -> None:
    playbooks = Recorded(netem_verification={"bs": ["one", "two"], "edge-1": [], "cloud-1": ["three"]})
    sentences = gate.verify(playbooks, {"netem_links": [1]}, report=tmp_path / "links.json", stream_s=0)
    assert sentences == ["one", "two", "three"]
    assert playbooks.variables == [
        {"netem_report_file": str(tmp_path / "links.json"), "netem_stream_s": 0, "netem_links": [1]}
    ]
