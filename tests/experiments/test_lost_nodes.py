"""A run whose nodes are lost waits for them and takes the steps again from the links on; it ends where that leads nowhere."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from playbook_record import Recorded
from rich.console import Console
from trial_nodes import inventory, only

from collect.folder import RunFolder
from experiments import follow, proofs, steps
from experiments.errors import LostNodesError
from experiments.progress import Reporter
from nodes.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nodes.answers import Answers


class Away(Recorded):
    """Some of its nodes do not answer for the first few times."""

    def __init__(self, times: float) -> None:
        super().__init__()
        self._times = times

    def run(self, playbook: str, **variables: Any) -> Answers:
        answers = super().run(playbook, **variables)
        if playbook == "clear" and self._times > 0:
            self._times -= 1
            raise UnreachableError("edge-2 is unreachable")
        return answers


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[str], Recorded, str]]:
    """Take two steps, of which the second loses a node after so many repetitions, each time one."""

    def taken(*finished: int, away: float = 0) -> tuple[list[str], Recorded, str]:
        names: list[str] = []
        losses = list(finished)

        def shape_links(_: steps.Context) -> None:
            names.append("shape links")

        def measure(_: steps.Context) -> None:
            names.append("measure")
            if losses:
                raise LostNodesError("edge-2 was lost: silent for 10 s", ("edge-2",), losses.pop(0))

        monkeypatch.setattr(steps, "shape_links", shape_links)
        monkeypatch.setattr(steps, "STEPS", (shape_links, measure))
        monkeypatch.setattr(follow, "RECONNECT_PAUSE_S", 0)
        folder, output, playbooks = RunFolder(tmp_path / "run"), io.StringIO(), Away(away)
        folder.path.mkdir()
        reporter = Reporter(Console(file=output, width=200))
        context = steps.Context(folder, only("edge", 1), inventory(), playbooks, reporter, "synthetic", 1)
        try:
            steps._take_all(steps.STEPS, context)
        finally:
            assert [entry["step"] for entry in proofs.steps(folder)] == names
        return names, playbooks, output.getvalue()

    return taken


def test_steps_are_taken_again_when_the_node_answers_and_has_no_links(run: Callable[..., Any]) -> None:
    names, playbooks, output = run(3, 5, away=2)
    assert names == ["shape links", "measure"] * 3
    assert playbooks.names == ["measure-stop", "clear", "clear", "clear", "measure-stop", "clear"]
    assert "edge-2 was lost: silent for 10 s: it is waited for, and the links are shaped and verified again" in output


def test_a_node_that_is_lost_again_before_anything_was_measured_ends_the_run(run: Callable[..., Any]) -> None:
    with pytest.raises(LostNodesError, match="edge-2 was lost"):
        run(3, 3)


def test_a_node_that_stays_away_ends_the_run(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "RETURN_S", 0.05)
    with pytest.raises(UnreachableError, match="edge-2 is unreachable"):
        run(3, away=float("inf"))
