"""A node that answers with another host key than the one that is known is refused, under make as by ansible-playbook."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from listener import Heard

from nodes.errors import UnreachableError
from nodes.playbooks import Playbooks

if TYPE_CHECKING:
    from collections.abc import Iterator

SSHD = Path("/usr/sbin/sshd")
HOSTS = """
nodes:
  hosts:
    one:
      ansible_host: 127.0.0.1
      ansible_port: {port}
      ansible_user: root
      ansible_python_interpreter: {python}
      ansible_ssh_private_key_file: {folder}/client
      ansible_ssh_args: ""
      ansible_ssh_common_args: >-
        -F none -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes
        -o UserKnownHostsFile={folder}/known_hosts -o GlobalKnownHostsFile=none
"""
PING = "- {hosts: nodes, gather_facts: false, tasks: [{name: Ping, ansible.builtin.ping: {}}]}\n"
SETTINGS = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
StrictModes no
UsePAM no
PidFile none
"""

pytestmark = [
    pytest.mark.lab(judges_links=False),
    pytest.mark.skipif(os.geteuid() != 0 or not SSHD.exists(), reason="needs root and an SSH server (openssh-server)"),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """The port of an SSH server on loopback, with keys of its own."""
    for name in ("host", "other", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    (tmp_path / "sshd_config").write_text(SETTINGS.format(port=port, folder=tmp_path))
    Path("/run/sshd").mkdir(exist_ok=True)  # where sshd's unprivileged part lives
    command = [str(SSHD), "-D", "-e", "-f", str(tmp_path / "sshd_config")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert "listening" in process.stderr.readline()
            yield port
        finally:
            process.terminate()


@pytest.fixture
def playbooks(tmp_path: Path, server: int) -> Playbooks:
    (tmp_path / "hosts.yml").write_text(HOSTS.format(port=server, folder=tmp_path, python=sys.executable))
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "ping.yml").write_text(PING)
    return Playbooks(tmp_path / "hosts.yml", Heard(), None, tmp_path)


def know(folder: Path, port: int, key: str) -> None:
    kind, words = (folder / f"{key}.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {words}\n")


def test_only_a_node_with_the_known_key_is_spoken_to(playbooks: Playbooks, tmp_path: Path, server: int) -> None:
    know(tmp_path, server, "host")
    playbooks.run("ping")
    know(tmp_path, server, "other")
    shown = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "host")], capture_output=True, text=True, check=True)
    with pytest.raises(UnreachableError) as caught:
        playbooks.run("ping")
    assert str(caught.value).startswith(
        f"one: Ping: the node's SSH host key ({shown.stdout.split()[1]}) is not the one in known_hosts, "
    )


def test_an_unknown_key_is_refused_and_nobody_is_asked(playbooks: Playbooks, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("-o BatchMode=yes -o StrictHostKeyChecking=yes", ""))
    with pytest.raises(UnreachableError, match="one: Ping: the node's SSH host key is not in known_hosts; log in once"):
        playbooks.run("ping")
