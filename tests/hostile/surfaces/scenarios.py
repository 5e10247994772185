"""Scenario files: what ``python -m experiments`` checks before anything is begun.

``file`` is the scenario's, or ``with`` are changes of edge.yaml (paths as in `bad_inputs.changed`); ``files`` stand beside
it. ``name`` is given in place of the file, ``arguments`` on the command line beside it.
"""

from __future__ import annotations

import contextlib
import io
import signal
from typing import TYPE_CHECKING, Any

import trial_nodes
import yaml
from bad_inputs import as_bytes, changed

from experiments import __main__ as command_line
from experiments import placement, spec
from experiments.errors import FaasbedError
from experiments.plan import draw
from nodes.inventory import INVENTORIES
from surfaces import Opened, sentence

if TYPE_CHECKING:
    from pathlib import Path

EDGE = yaml.safe_load((spec.SCENARIOS / "edge.yaml").read_text(encoding="utf-8"))
TEXTS = 40


class Surface(Opened):
    """The checks of a scenario on the paper's nodes, and the plan that is drawn of what they let pass."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def answer(
        self,
        file: Any = None,
        name: str | None = None,
        files: dict[str, Any] | None = None,
        arguments: list[str] | None = None,
        **given: Any,
    ) -> str:
        """Return the sentence that refuses, or ``accepted``."""
        if arguments is not None:
            return self._printed(arguments)
        path = self._folder / "own.yaml"
        path.write_bytes(
            as_bytes(file) if file is not None else yaml.safe_dump(changed(EDGE, given.get("with", {}))).encode()
        )
        for other, content in (files or {}).items():
            (self._folder / other).write_bytes(as_bytes(content))
        try:
            experiment = spec.load(str(path) if name is None else name)
            placed = placement.place(experiment, trial_nodes.inventory())
            placed.variables()
            assert len(draw(experiment, placed, run="trial", texts=TEXTS, dataset="d", seed=1).order) <= 100_000
            resolved = self._folder / "resolved.yaml"
            resolved.write_text(yaml.safe_dump(experiment.model_dump(mode="json")), encoding="utf-8")
            assert spec.resolved(resolved) == experiment
        except FaasbedError as error:
            said = sentence(error, 2)
            return self._short(said)
        return "accepted"

    def _printed(self, arguments: list[str]) -> str:
        """Return what is printed where the command line itself is refused."""
        printed = io.StringIO()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        with contextlib.redirect_stderr(printed):
            try:
                code = command_line.main(["experiment", f"--results={self._folder / 'results'}", *arguments])
            except SystemExit as ended:
                code = int(str(ended.code))
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        assert not (self._folder / "results").exists()
        return f"{code} {self._short(printed.getvalue().strip().splitlines()[-1])}"

    def _short(self, sentence: str) -> str:
        paths = {
            "FILE": self._folder / "own.yaml",
            "FOLDER": self._folder,
            "SCENARIOS": spec.SCENARIOS,
            "INVENTORIES": INVENTORIES,
            "expected NAMES, or": f"expected {', '.join(sorted(one.stem for one in spec.SCENARIOS.glob('*.yaml')))}, or",
        }
        for name, path in paths.items():
            sentence = sentence.replace(str(path), name)
        return sentence
