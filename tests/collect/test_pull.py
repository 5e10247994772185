"""Records are fetched by a real ansible-playbook, here from this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from generated_run import all_records, write_run

from collect import run
from collect.errors import CollectError
from collect.pull import pull

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
    told: list[str] = []
    folder = testbed / "results" / "first"
    pull(folder, "local", told.append, root=testbed)
    assert told == ["Fetch the records of first"]
    assert len(run.load(folder).measurements.scenarios["edge"]) == 3


def test_what_ansible_failed_at_is_the_error(testbed: Path) -> None:
    with pytest.raises(
        CollectError, match=r"could not be fetched from inventory local: bs: the remote file does not exist"
    ):
        pull(testbed / "results" / "first", "local", print, root=testbed)


def test_an_unknown_inventory_is_refused_with_the_known_ones(testbed: Path) -> None:
    with pytest.raises(CollectError, match=r"no inventory 'moon' .* Known: local"):
        pull(testbed / "results" / "first", "moon", print, root=testbed)


def test_the_inventory_is_the_one_of_the_manifest(tmp_path: Path) -> None:
    assert run.inventory(write_run(tmp_path, all_records(("edge",), 1), "a")) == "local"
    assert run.inventory(write_run(tmp_path, all_records(("edge",), 1), "b", whole=False)) is None
