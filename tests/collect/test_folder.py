"""A run's folder: which runs there are, and that files are written whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collect import folder
from collect.folder import FolderError, RunFolder

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_run_is_found_by_its_id_and_as_the_newest(tmp_path: Path) -> None:
    run = folder.create(tmp_path / "results", "paper", "name: paper\n")
    assert run.scenario.read_text() == "name: paper\n"
    assert "-paper-" in run.id
    assert folder.find(tmp_path / "results", run.id) == folder.find(tmp_path / "results") == run


@pytest.mark.parametrize("name", ["{{ 1 }}", "..", "a b", "-e", "a" * 65, "a\nb"])
def test_a_folder_whose_name_is_no_id_is_no_run(tmp_path: Path, name: str) -> None:
    folder.create(tmp_path, "paper", "")
    if name != "..":
        (tmp_path / name / "raw").mkdir(parents=True)
    with pytest.raises(FolderError, match="there is no run"):
        folder.find(tmp_path, name)


def test_the_manifest_is_added_to(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.update_manifest(seed=1, inventory="local")
    run.update_manifest(seed=2)
    assert folder.read_json(run.manifest) == {"seed": 2, "inventory": "local"}


def test_a_file_that_is_not_there_holds_nothing_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert folder.read_json(run.plan) is None
    run.plan.write_text("{")
    with pytest.raises(FolderError, match=r"plan\.json is damaged: .*; restore the file"):
        folder.read_json(run.plan)


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("before")
    with pytest.raises(FolderError, match=r"file/plan\.json cannot be written: .*; name another folder"):
        folder.write_json(tmp_path / "file" / "plan.json", {})
    assert (tmp_path / "file").read_text() == "before"


def test_the_records_of_several_base_stations_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for name in ("bs-2", "bs-1"):
        folder.write(run.raw / name / folder.SAMPLES, "")
    assert [path.parent.name for path in run.samples()] == ["bs-1", "bs-2"]
