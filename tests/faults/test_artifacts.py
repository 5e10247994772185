"""Faults of what a cluster is made of: downloads, the folder they are in, and their use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from cluster import AGENTS, NODES, SERVER, adopt, adopted, binary
from releases import pins_of
from replica import eventually
from testbed import BIN, ROOT, changed, run

from artifacts import pins

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cluster import Cluster
    from releases import Site

PATIENCE_S = 300
ARCHIVE = "knative-images-amd64.tar.zst"


@pytest.fixture
def command(released: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What downloads the artifacts of the release on loopback, whose pins are a site's own."""
    site = tmp_path / "pins.yml"
    site.write_text(pins.dump(pins_of(released)), "utf-8")
    monkeypatch.setenv("FAASBED_PINS", str(site))
    return [
        sys.executable,
        "-u",
        "-m",
        "artifacts",
        "download",
        "--arch",
        "amd64",
        "--folder",
        str(folder_of(tmp_path)),
    ]


def folder_of(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.mark.fault(
    what="a network that asks for a login answers every request with its page, then lets through",
    step="make artifacts",
    on="loopback",
    seen="the download stops at the first file, and nothing of the page is kept",
    ends="with the next start",
    reads="gives a web page instead of the file, as networks do that ask for a login first; log in to the network",
)
def test_a_captive_portals_page_never_enters_the_folder(
    released: Site, command: list[str], tmp_path: Path, reads: Callable[[str], None]
) -> None:
    released.portal = b"<html><body>Welcome to our Wi-Fi! <a href='/login'>Log in</a></body></html>"
    done = run(command, cwd=ROOT)
    assert done.returncode == 1
    reads(done.stderr)
    assert [path.name for path in folder_of(tmp_path).iterdir() if path.name != ".lock"] == []
    released.portal = b""
    done = run(command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "7 of 7 usable" in done.stdout


@pytest.mark.fault(
    what="the page of such a network is served as plain text in place of the list of checksums",
    step="make artifacts",
    on="loopback",
    seen="the file is deleted before it has its name",
    ends="with the next start",
    reads=(
        "unexpected file at …/sha256sum-amd64.txt: it lists no SHA-256 of k3s; it was deleted: check the network, and log in "
        "to it if it asks for that"
    ),
)
def test_a_page_is_no_list_of_checksums(
    released: Site, command: list[str], tmp_path: Path, reads: Callable[[str], None]
) -> None:
    path = next(path for path in released.files if path.endswith("/sha256sum-amd64.txt"))
    true = released.files[path]
    released.files[path] = b"<html><body>Log in to see k3s</body></html>"
    done = run(command, cwd=ROOT)
    assert done.returncode == 1
    reads(done.stderr)
    assert [path.name for path in folder_of(tmp_path).iterdir() if path.name != ".lock"] == []
    released.files[path] = true
    assert run(command, cwd=ROOT).returncode == 0


@pytest.mark.fault(
    what="the controller loses power while images are pulled: a layer in the store is cut short",
    step="make artifacts",
    on="loopback",
    seen="the layer is pulled again, those that are whole are not, and the archive is the same as without the fault",
    ends="with the next start",
    reads=[],
)
def test_a_blob_that_is_cut_short_in_the_image_store_is_pulled_again(
    released: Site, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as download:
        assert download.stdout
        for line in download.stdout:
            if "image 3 of 3" in line:
                break
        os.killpg(download.pid, signal.SIGKILL)
    store = folder_of(tmp_path) / f"{ARCHIVE}.blobs"
    layers = [path for path in store.iterdir() if path.is_file() and path.read_bytes().startswith(b"\x1f\x8b")]
    assert len(layers) >= 2
    os.truncate(layers[0], layers[0].stat().st_size // 2)
    released.requests.clear()
    done = run(command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    pulled = {path.rpartition(":")[2] for path, _ in released.requests if "/blobs/" in path}
    assert layers[0].name in pulled
    assert layers[1].name not in pulled
    undisturbed = tmp_path / "undisturbed"
    assert run([*command[:-1], str(undisturbed)], cwd=ROOT).returncode == 0
    assert (folder_of(tmp_path) / ARCHIVE).read_bytes() == (undisturbed / ARCHIVE).read_bytes()


@pytest.mark.fault(
    what="a YAML file of Knative is edited after it was verified",
    step="provision",
    on="local",
    seen="the role stops before the cluster is asked for anything",
    ends="with make artifacts, which downloads the file again",
    reads="serving-core.yaml was changed after it was verified: sha256 …, expected …; delete it and run `make artifacts`",
)
def test_yaml_that_was_edited_later_is_never_applied(
    released: Site, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: Callable[[str], None]
) -> None:
    assert run(command, cwd=ROOT).returncode == 0
    file = folder_of(tmp_path) / "serving-core.yaml"
    original = file.read_bytes()
    file.write_bytes(original.replace(b"name: one", b"name: two"))
    asked = tmp_path / "asked"
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$@" >> {asked}\nexit 1\n', "utf-8")
    kubectl.chmod(0o755)
    hosts = {
        "compute": {"hosts": {"one": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}}
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": hosts}}), "utf-8")
    variables = {"knative_artifacts_dir": str(folder_of(tmp_path)), "knative_kubectl": [str(kubectl)]}
    playbook = [str(BIN / "ansible-playbook"), "-i", str(tmp_path / "hosts.yml"), "playbooks/knative.yml"]
    playbook += ["-e", json.dumps(variables)]
    done = run(playbook, cwd=ROOT)
    assert done.returncode != 0
    reads(done.stdout + done.stderr)
    assert not asked.exists()
    file.unlink()
    assert run(command, cwd=ROOT).returncode == 0
    assert file.read_bytes() == original
    # The role goes on to the cluster, which this test does not have.
    assert "was changed after it was verified" not in run(playbook, cwd=ROOT).stdout
    assert asked.exists()


@pytest.mark.long
@pytest.mark.lab(judges_links=False)
@pytest.mark.fault(
    what="an archive of images is edited after it was verified",
    step="provision",
    on="containers",
    seen="the role stops before a node gets anything",
    ends="with make artifacts, which makes the archive again",
    reads="knative-images-amd64.tar.zst was changed after it was verified: sha256 …, expected …; delete it and run",
)
def test_an_archive_that_was_edited_later_is_never_imported(
    cluster: Cluster, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    folder = adopted(cluster.artifacts, tmp_path / "artifacts")
    archive = folder / ARCHIVE
    content = bytearray(archive.read_bytes())
    archive.unlink()
    content[-1] ^= 1
    archive.write_bytes(content)
    before = {node: images_of(cluster, node) for node in cluster.nodes()}
    done = cluster.provision("-e", f"k3s_artifacts_dir={folder}")
    assert done.returncode != 0
    reads(done.stdout + done.stderr)
    assert {node: images_of(cluster, node) for node in cluster.nodes()} == before


def images_of(cluster: Cluster, node: str) -> str:
    """The archives of a node, with their times."""
    listed = cluster.lab.ssh(node, "ls -l --time-style=full-iso /var/lib/rancher/k3s/agent/images")
    assert ARCHIVE in listed.stdout
    return listed.stdout


@pytest.mark.long
@pytest.mark.lab(judges_links=False)
@pytest.mark.fault(
    what="the node that shares a new k3s with the others stops sharing while they fetch it",
    step="provision",
    on="containers",
    seen="the others keep the k3s that they have; the next start gives it to them and restarts them, one at a time",
    ends="with the next start",
    reads="cannot be fetched (…); let the nodes reach each other there, or set k3s_share: false to copy to each of them by SSH",
)
def test_the_next_start_completes_what_a_sharing_node_began(
    cluster: Cluster, tmp_path: Path, reads: Callable[[str], None]
) -> None:
    folder = adopted(cluster.artifacts, tmp_path / "artifacts")
    # Zeros behind an ELF file's end make another file of it, which does the same.
    name = binary().name
    content = (folder / name).read_bytes() + bytes(8)
    (folder / name).unlink()
    (folder / name).write_bytes(content)
    adopt(folder)
    variables = ("-e", f"k3s_artifacts_dir={folder}")
    before = started(cluster)
    command = cluster.lab.command("playbooks/cluster.yml", *variables)
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    end_of_share = "kill -KILL $(pgrep -f '[s]hare.py ADDRESS SECONDS WORD')"
    try:
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as provision:
            eventually(lambda: cluster.lab.ssh(SERVER, end_of_share).returncode == 0, "sharing", PATIENCE_S)
            output, _ = provision.communicate()
        assert provision.returncode != 0
        reads(output)
        done = changed(cluster.provision(*variables))
        assert all(done[node] for node in AGENTS)
        after = started(cluster)
        assert all(after[node] > before[node] for node in NODES)
        assert changed(cluster.provision(*variables)) == dict.fromkeys(NODES, 0)
    finally:
        changed(cluster.provision())


@pytest.mark.long
@pytest.mark.lab(judges_links=False)
@pytest.mark.fault(
    what="the controller is killed after it changed a setting of k3s and before it restarted k3s",
    step="provision",
    on="containers",
    seen="the next start finds that k3s is older than its files, and restarts it",
    ends="with the next start",
    reads=[],
)
def test_a_restart_that_a_killed_controller_owes_is_made_up_for(cluster: Cluster) -> None:
    setting = ("-e", json.dumps({"k3s_agent_config": {"kubelet-arg": ["max-pods=97"]}}))
    command = cluster.lab.command("playbooks/cluster.yml", *setting)
    is_written = "grep -q max-pods=97 /etc/rancher/k3s/config.yaml"
    try:
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True) as provision:
            eventually(lambda: cluster.lab.ssh("cloud-1", is_written).returncode == 0, "the change", PATIENCE_S)
            os.killpg(provision.pid, signal.SIGKILL)
        assert cluster.nodes()["cloud-1"]["status"]["capacity"]["pods"] != "97"
        assert changed(cluster.provision(*setting))["cloud-1"] > 0
        assert cluster.nodes()["cloud-1"]["status"]["capacity"]["pods"] == "97"
        assert changed(cluster.provision(*setting)) == dict.fromkeys(NODES, 0)
    finally:
        changed(cluster.provision())


@pytest.mark.long
@pytest.mark.lab(judges_links=False)
@pytest.mark.fault(
    what="k3s and its containerd are killed while a node that joins imports the images",
    step="provision",
    on="containers",
    seen="systemd starts k3s again, which imports them from the start; the same command goes on and ends well",
    ends="within the same command",
    reads=[],
)
def test_an_import_of_images_that_was_killed_is_done_again(cluster: Cluster) -> None:
    node, unit = "edge-2", "faasbed-k3s"
    changed(cluster.remove("--limit", node))
    command = cluster.lab.command("playbooks/cluster.yml")
    now = cluster.lab.ssh(node, "date +%s").stdout.strip()
    importing = f"journalctl --unit {unit} --since @{now} --no-pager | grep -q 'Importing images from'"
    try:
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as provision:
            eventually(lambda: cluster.lab.ssh(node, importing).returncode == 0, "an import of images", PATIENCE_S)
            killed = cluster.lab.ssh(node, f"systemctl kill --kill-who=all --signal=KILL {unit}")
            output, _ = provision.communicate()
        assert killed.returncode == 0
        assert provision.returncode == 0, output
    finally:
        changed(cluster.provision())
    assert cluster.lab.ssh(node, f"systemctl show {unit} --property=NRestarts --value").stdout.strip() != "0"
    images = cluster.lab.ssh(node, "k3s ctr images check").stdout.splitlines()[1:]
    assert len(images) > 1
    assert all(" complete (" in line for line in images), images


def started(cluster: Cluster) -> dict[str, float]:
    """When each node's k3s was started, in seconds since 1970."""
    show = "systemctl show faasbed-k3s --timestamp=unix -P ExecMainStartTimestamp"
    return {node: float(cluster.lab.ssh(node, show).stdout.strip().lstrip("@")) for node in NODES}
