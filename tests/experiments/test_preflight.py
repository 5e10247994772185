"""What a run says of its data set, and keeps of it, before a node is touched."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console
from trial_nodes import inventory, only

from collect.folder import RunFolder, read_json
from experiments import steps
from experiments.progress import Reporter

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.spec import Experiment

TEXTS = [f"report about river number{index}" for index in range(40)]


def preflight(folder: Path, texts: list[str], experiment: Experiment) -> tuple[list[str], dict[str, Any]]:
    """Return the lines that the step prints, and its manifest."""
    path = folder / "news.csv"
    rows = [f"{text};{'FAKE' if index % 2 else 'REAL'}" for index, text in enumerate(texts)]
    path.write_text("\n".join(["text;label", *rows]))
    run = RunFolder(folder / "trial")
    run.path.mkdir()
    printed = io.StringIO()
    reporter = Reporter(Console(file=printed, highlight=False))
    # No playbook is run.
    steps.preflight(steps.Context(run, experiment, inventory(), cast("Any", None), reporter, str(path), 1))
    return printed.getvalue().splitlines(), read_json(run.manifest)["dataset"]


def test_a_data_set_is_described_with_its_separator_and_labels(tmp_path: Path) -> None:
    lines, kept = preflight(tmp_path, TEXTS, only("edge", 2))
    assert lines == ["  data set: CSV news.csv, separated by semicolons, texts: 40 texts, FAKE 20, REAL 20"]
    assert kept["labels"] == {"FAKE": 20, "REAL": 20}
    assert json.loads((tmp_path / "trial" / "dataset.json").read_text())["x"] == TEXTS


def test_duplicates_and_empty_texts_are_told_and_kept(tmp_path: Path) -> None:
    lines, kept = preflight(tmp_path, [*TEXTS, *TEXTS, "", ""], only("edge", 2))
    assert lines[1:] == [f"  note: {note}" for note in kept["notes"]]
    assert kept["notes"][:2] == [
        "Empty texts: 2 of 82 (2.4 %).",
        "Texts that repeat an earlier one: 40 of 82 (48.8 %).",
    ]
    assert "of the test texts are among the training texts, too" in kept["notes"][2]


def test_duplicates_are_left_out_where_the_scenario_file_asks_for_it(tmp_path: Path) -> None:
    experiment = only("edge", 2).model_copy(update={"deduplicate": True})
    lines, kept = preflight(tmp_path, [*TEXTS, *TEXTS], experiment)
    assert kept["texts"] == 40
    assert kept["duplicates"] == {"texts": 0, "under_other_labels": 0, "removed": 40}
    assert lines[1:] == ["  note: Texts that repeated an earlier one and were left out (deduplicate: true): 40."]
