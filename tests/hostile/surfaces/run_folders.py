"""Run folders: edits of a good run.

Each of ``edits`` is of a file: ``{file, content}``, ``{file, with}`` (changes of its JSON, or of its YAML), ``{file, to}``
(a symbolic link), ``{file, made: pipe | folder | nothing}``. ``do`` is ``report`` (its exit code, and the sentence that
refuses it or what is noted) or ``resume`` (the sentence of ``experiment --run`` with ``repetitions``, or ``resumed``).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from typing import TYPE_CHECKING, Any
from unittest import mock

import trial_nodes
import yaml
from bad_inputs import as_bytes, changed
from generated_run import MANIFEST, RUN, all_records, write_run
from msgspec.structs import replace

from collect import folder as folders
from collect.__main__ import main
from collect.folder import RunFolder
from collect.report import figures
from collect.run import load, problems
from experiments import placement, proofs, resume
from experiments.data import dataset
from experiments.errors import FaasbedError
from experiments.plan import as_json, draw
from surfaces import Opened, sentence

if TYPE_CHECKING:
    from pathlib import Path

REPETITIONS = 3
TEXTS = 40


class Surface(Opened):
    """A run that is reported, and gone on with, as the commands do it."""

    def __init__(self, folder: Path) -> None:
        self._results = folder / "results"
        self._good = _good(folder / "good")
        self._elsewhere = folder / "elsewhere"
        self._elsewhere.mkdir()

    def answer(
        self, edits: list[dict[str, Any]], do: str = "report", repetitions: int | None = None, drawn: bool = False
    ) -> str:
        """Return what the command says of the edited run."""
        shutil.rmtree(self._results, ignore_errors=True)
        shutil.copytree(self._good.path, self._results / RUN)
        run = RunFolder(self._results / RUN)
        for edit in edits:
            self._edit(run.path / edit["file"], edit)
        before = _contents(run.path / "raw")
        seen = self._reported(drawn=drawn) if do == "report" else self._resumed(run, repetitions)
        assert list(self._elsewhere.iterdir()) == [], "something was written outside of the run's folder"
        assert before == _contents(run.path / "raw"), "the records were changed"
        return seen.replace(str(run.path), "RUN").replace(str(self._results), "RESULTS")

    def _edit(self, path: Path, edit: dict[str, Any]) -> None:
        if "with" in edit:
            read, write = (yaml.safe_load, yaml.safe_dump) if path.suffix == ".yaml" else (json.loads, json.dumps)
            path.write_text(write(changed(read(path.read_text()), edit["with"])))
            return
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        if "to" in edit:
            path.symlink_to(self._elsewhere if edit["to"] == "elsewhere" else edit["to"])
        elif "content" in edit:
            path.write_bytes(as_bytes(edit["content"]))
        elif edit["made"] == "pipe":
            os.mkfifo(path)
        elif edit["made"] == "folder":
            path.mkdir()

    def _reported(self, *, drawn: bool) -> str:
        """Return the exit code, and the error or the notes; a report that is not refused is there afterwards."""
        without = contextlib.nullcontext() if drawn else mock.patch.object(figures, "FIGURES", ())
        out, err = io.StringIO(), io.StringIO()
        with without, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["report", "--results", str(self._results)])
        assert all(line.isprintable() for line in out.getvalue().splitlines())
        if code == 2:
            (sentence,) = err.getvalue().splitlines()
            return f"2 {sentence.removeprefix('error: ')}"
        assert "<script" not in (self._results / RUN / "report.html").read_text()
        loaded = load(folders.find(self._results))
        return " ".join([str(code), *loaded.notes, *problems(loaded)])

    def _resumed(self, run: RunFolder, repetitions: int | None) -> str:
        """Return what ``experiment --run`` says before anything is done on the nodes."""
        try:
            run = folders.find(self._results, RUN)
            begun = resume.begun(run, resume.Asked(None, None, None, None, repetitions), "local")
            placed = placement.place(begun.experiment, trial_nodes.inventory())
            if proofs.planned(run):
                resume.extend(run, begun, placed, repetitions)
                proofs.measured(run)
                proofs.verified_afterwards(run)
            run.update_manifest(warnings=[])
        except FaasbedError as error:
            return sentence(error, 2)
        return f"resumed on {begun.inventory}, seed {begun.seed}"


def _contents(folder: Path) -> dict[str, bytes | None]:
    return (
        {str(one): one.read_bytes() if one.is_file() else None for one in sorted(folder.rglob("*"))}
        if folder.is_dir()
        else {}
    )


def _good(folder: Path) -> RunFolder:
    """Return a run that is whole: planned, measured, verified."""
    experiment = trial_nodes.only("edge", REPETITIONS, 1)
    placed = placement.place(experiment, trial_nodes.inventory())
    data = dataset.load("synthetic", texts=TEXTS, seed=1)
    plan = draw(experiment, placed, run=RUN, texts=TEXTS, dataset=data.sha256, seed=1)
    run = RunFolder(
        write_run(folder, [replace(one, plan=plan.hash) for one in all_records(("edge",), repetitions=REPETITIONS)])
    )
    run.plan.write_text(json.dumps(as_json(plan)))
    run.scenario.write_text(resume.as_yaml(experiment))
    dataset.write(data, run.dataset)
    of_run = {"seed": 1, "run": RUN, "plan": {"hash": plan.hash, "repetitions": REPETITIONS}}
    of_data = {"name": "synthetic", "texts": TEXTS, "labels": ["FAKE", "REAL"], "sha256": data.sha256}
    run.manifest.write_text(json.dumps({**MANIFEST, **of_run, "dataset": of_data, "scenarios": ["edge"]}))
    return run
