"""A cluster's token and kubeconfig on the controller belong to one inventory, whatever the folders are called."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import yaml
from testbed import ROOT, run

PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: k3s, tasks_from: "{{ asked }}"}
"""


def inventory(folder: Path) -> Path:
    """One server, on this machine, whose cluster was not made yet."""
    folder.mkdir(parents=True)
    node = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "data_address": "127.0.0.1"}
    variables = {"k3s_servers": ["edge-1"], "k3s_token_path": str(folder / "no-token"), "data_interface": "lo"}
    listing = {"all": {"hosts": {"edge-1": node}, "vars": variables}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(listing), encoding="utf-8")
    return folder


def play(folder: Path, hosts: Path, tasks: str) -> None:
    (folder / "play.yml").write_text(PLAY, encoding="utf-8")
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "ANSIBLE_ROLES_PATH": str(ROOT / "roles")}
    words = [program, "-i", str(hosts), str(folder / "play.yml"), "-e", f"asked={tasks}"]
    done = run(words, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def secrets(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text("ascii") for path in (folder / "cache" / "faasbed" / "kubeconfigs").glob("*")}


@pytest.mark.skipif(os.geteuid() != 0, reason="the role looks into root's folders of the node")
def test_two_inventories_with_one_folder_name_have_a_token_each(tmp_path: Path) -> None:
    first, second = inventory(tmp_path / "mine" / "edge"), inventory(tmp_path / "yours" / "edge")
    play(tmp_path, first, "token")
    (name,) = secrets(tmp_path)
    assert name.startswith("edge-")
    token = secrets(tmp_path)[name]
    play(tmp_path, second, "token")
    both = secrets(tmp_path)
    assert len(both) == 2
    assert both[name] == token
    (other,) = both.keys() - {name}
    assert both[other] != token
    play(tmp_path, first, "forget")
    assert secrets(tmp_path) == {other: both[other]}
