"""Records are fetched by real Ansible, here from this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from generated_run import all_records, write_run

from collect import run
from collect.__main__ import main
from collect.errors import CollectError
from collect.folder import RunFolder
from collect.pull import pull
from nodes.errors import InventoryError

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = (
    "base_stations:\n  hosts:\n    bs:\n      ansible_connection: local\n"
    "      ansible_python_interpreter: '{{ ansible_playbook_python }}'\n"
)
PLAYBOOK = """
- hosts: base_stations
  gather_facts: false
  tasks:
    - name: Fetch the records of {{ collect_run }}
      ansible.builtin.fetch:
        src: "{{ playbook_dir }}/../node/{{ collect_run }}.jsonl"
        dest: "{{ collect_into }}/samples.jsonl"
        flat: true
"""


class Heard:
    """Remembers the tasks that it hears of."""

    def __init__(self) -> None:
        self.tasks: list[str] = []

    def say(self, sentence: str) -> None:
        raise AssertionError(sentence)

    def task(self, name: str) -> None:
        self.tasks.append(name)

    def progress(self, host: str, progress: dict[str, Any]) -> None:
        raise AssertionError(host, progress)


@pytest.fixture
def testbed(tmp_path: Path) -> Path:
    """A project root with one inventory and a playbook with the variables of the real one."""
    for name in ("inventories/local", "playbooks", "node", "results/first"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "inventories" / "local" / "hosts.yml").write_text(HOSTS)
    (tmp_path / "playbooks" / "collect.yml").write_text(PLAYBOOK)
    (tmp_path / "results" / "first" / "scenario.yaml").write_text("name: edge\n")
    return tmp_path


def test_the_records_arrive_in_the_runs_folder_and_the_tasks_are_told(testbed: Path) -> None:
    source = write_run(testbed / "elsewhere", all_records(("edge",), 3), whole=False) / "raw" / "samples.jsonl"
    source.rename(testbed / "node" / "first.jsonl")
    heard = Heard()
    first = RunFolder(testbed / "results" / "first")
    pull(first, str(testbed / "inventories" / "local"), heard, root=testbed)
    assert heard.tasks == ["Fetch the records of first"]
    assert "Fetch the records of first" in (first.log / "01-collect" / "stdout").read_text()
    assert len(run.load(first).measurements.scenarios["edge"]) == 3


def test_what_ansible_failed_at_is_the_error(testbed: Path) -> None:
    inventory = str(testbed / "inventories" / "local")
    with pytest.raises(CollectError, match=r"cannot fetch the records of first .*: bs: .*remote file does not exist"):
        pull(RunFolder(testbed / "results" / "first"), inventory, Heard(), root=testbed)


def test_an_unknown_inventory_is_refused_with_the_known_ones(testbed: Path) -> None:
    with pytest.raises(InventoryError, match=r"inventory 'moon': there is no .* Known inventories: .*local"):
        pull(RunFolder(testbed / "results" / "first"), "moon", Heard())


def test_the_inventory_is_the_one_of_the_manifest(tmp_path: Path) -> None:
    assert RunFolder(write_run(tmp_path, all_records(("edge",), 1), "a")).inventory(None) == "local"
    assert RunFolder(write_run(tmp_path, all_records(("edge",), 1), "b", whole=False)).inventory(None) is None


@pytest.mark.parametrize("named", ["./inv.sh", "/tmp/inv.sh", "..", "a/b", 7, ["local"], "local\n"])
def test_an_inventory_that_could_be_a_path_is_taken_from_the_user_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], named: object
) -> None:
    folder = write_run(tmp_path, all_records(("edge",), 1))
    (folder / "manifest.json").write_text(json.dumps({"inventory": named}))
    assert main(["pull", "--results", str(tmp_path)]) == 2
    assert "a path is not taken from a run's folder; name the inventory yourself" in capsys.readouterr().err


def test_an_inventory_within_the_runs_folder_is_refused_when_the_user_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path, all_records(("edge",), 1))
    script = folder / "inv.sh"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/RAN\necho '{{}}'\n")
    script.chmod(0o755)
    assert main(["pull", "--results", str(tmp_path), "--inventory", str(script)]) == 2
    assert "is in the run's own folder" in capsys.readouterr().err
    assert not (tmp_path / "RAN").exists()
