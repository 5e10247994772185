"""Whatever the locale of whoever runs it, Ansible starts and reads files as UTF-8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from listener import Heard

from nodes.playbooks import Playbooks, read_inventory

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = """
nodes:
  hosts: {one: {place: Göttingen}}
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""
PLAY = """
- hosts: nodes
  gather_facts: false
  tasks:
    - ansible.builtin.set_stats:
        data: {place: "{{ {inventory_hostname: place} }}"}
"""


@pytest.mark.parametrize("locale", ["C", "POSIX", "xx_XX.UTF-8", "de_DE.ISO-8859-1"])
def test_a_locale_that_is_missing_or_not_utf_8_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locale: str
) -> None:
    (tmp_path / "hosts.yml").write_text(HOSTS, encoding="utf-8")
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "play.yml").write_text(PLAY, encoding="utf-8")
    monkeypatch.setenv("LC_ALL", locale)
    monkeypatch.setenv("LANG", locale)
    playbooks = Playbooks(tmp_path / "hosts.yml", Heard(), None, tmp_path)
    assert playbooks.run("play")["place"] == {"one": "Göttingen"}
    assert read_inventory(str(tmp_path / "hosts.yml")).variables["one"]["place"] == "Göttingen"
