"""A distribution is supported when it has a file of package names, which is the only one."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import node_distribution
import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node import distribution
from testbed import BIN, ROOT, run

if TYPE_CHECKING:
    from pathlib import Path

TABLES = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in ROOT.glob("roles/node/vars/*.yml")}


class RefusedError(Exception):
    """Ends a module as fail_json would."""


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the module says on Fedora."""

    def start(module: AnsibleModule, **_: Any) -> None:
        module.params = {"supported": ["Debian"]}

    def refuse(_: AnsibleModule, *, msg: str) -> None:
        raise RefusedError(msg)

    os_release = tmp_path / "os-release"
    os_release.write_text('ID=fedora\nPRETTY_NAME="Fedora Linux 41 (Server Edition)"\n')
    monkeypatch.setattr(distribution, "OS_RELEASE", [os_release])
    monkeypatch.setattr(AnsibleModule, "__init__", start)
    monkeypatch.setattr(AnsibleModule, "fail_json", refuse)
    with pytest.raises(RefusedError) as refused:
        node_distribution.main()
    return str(refused.value)


def test_a_distribution_without_package_names_is_refused_by_name(refusal: str) -> None:
    assert (
        "The distribution is Fedora Linux 41 (Server Edition) (family RedHat), supported families: Debian." in refusal
    )
    assert "add vars/RedHat.yml to the role node" in refusal


def test_package_names_are_loaded_for_whoever_includes_the_tasks(tmp_path: Path) -> None:
    tasks = [
        {"ansible.builtin.include_role": {"name": "node", "tasks_from": "distribution"}},
        {"ansible.builtin.debug": {"msg": "{{ node_install_command }} {{ node_packages.venv }}"}},
    ]
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}])
    )
    shown = run([str(BIN / "ansible-playbook"), str(playbook)], cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1"})
    assert shown.returncode == 0, shown.stdout
    assert "apt-get install --yes --no-install-recommends python3-venv" in shown.stdout


@pytest.mark.parametrize("family", TABLES)
def test_every_distribution_names_the_packages_that_setup_and_the_lab_look_for(family: str) -> None:
    programs = set(re.findall(r"^ *(?:\S+\) )?need ([\w.-]+)", (ROOT / "setup.sh").read_text("utf-8"), re.MULTILINE))
    for path in ROOT.glob("roles/lab/module_utils/lab/*.py"):
        tools = re.search(r"^TOOLS = \((.*)\)$", path.read_text("utf-8"), re.MULTILINE)
        programs |= set(re.findall(r'"([\w.-]+)"', tools[1])) if tools else set()
    assert "qemu-img" in programs
    assert programs <= TABLES[family]["node_packages"].keys()
    assert TABLES[family].keys() == TABLES["Debian"].keys()
