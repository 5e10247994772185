"""The lab of network namespaces, made for real: reached by SSH, repaired, changed, and gone without a trace."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from ansible.module_utils.lab import machine
from testbed import BIN, PAPER_NODES, ROOT, TrialLab, changed, run, trial_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab(judges_links=False)

NODES = ["bs", "edge-1", "edge-2", "cloud-1"]
# Port 9 is closed everywhere: a host that exists refuses the connection.
CONNECT = (
    "import errno,socket as s,sys; c=s.socket(); c.settimeout(5); print(errno.errorcode[c.connect_ex((sys.argv[1],9))])"
)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[TrialLab]:
    """A slot with an inventory and no lab yet."""
    with trial_lab(tmp_path) as own:
        yield own


def traces(lab: TrialLab) -> dict[str, list[str]]:
    """Everything on this machine that has the lab's names, or sees its folders."""
    links = run(["ip", "-brief", "link"]).stdout.split()
    remains = {
        "namespaces": [name for name in machine.named_namespaces() if name.startswith(f"{lab.prefix}-")],
        "interfaces": [word for word in links if word.startswith(f"{lab.prefix}-")],
        "processes": [line for line in run(["ps", "-eo", "pid,args"]).stdout.splitlines() if str(lab.folder) in line],
        "inside": [
            str(process.pid)
            for process in machine.processes(lab.state_dir)
            if process.state not in (None, machine.identity(lab.state_dir))
        ],
        "mounts": [line for line in Path("/proc/self/mounts").read_text("utf-8").splitlines() if lab.prefix in line],
        "files": [str(path) for path in (lab.folder, lab.state_dir) if path.exists()],
    }
    return {kind: names for kind, names in remains.items() if names}


@contextmanager
def foreign_namespace(name: str) -> Iterator[None]:
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def knock(lab: TrialLab, node: str, address: str) -> str:
    """What a node gets from an address: ECONNREFUSED from one that is there, ENETUNREACH without a way."""
    return lab.ssh(node, sys.executable, "-c", f"'{CONNECT}'", address).stdout.strip()


# Making it


def test_from_nothing_to_ansible_answering_on_four_nodes_takes_little_more_than_ansible_itself(empty: TrialLab) -> None:
    started = time.monotonic()
    assert changed(empty.make()) == {"localhost": 1, **dict.fromkeys(NODES, 0)}
    made = time.monotonic()
    assert changed(empty.make()) == {"localhost": 0, **dict.fromkeys(NODES, 0)}
    # The control is the second run, which makes nothing: the same Ansible on the same machine. Making them doubles it.
    assert made - started < 5 * (time.monotonic() - made)


def test_a_second_run_changes_nothing(lab: TrialLab) -> None:
    assert changed(lab.make()) == {"localhost": 0, **dict.fromkeys(NODES, 0)}


def test_check_mode_tells_what_would_be_made_and_makes_nothing(empty: TrialLab) -> None:
    told = empty.make("--check", "--diff")
    assert changed(told)["localhost"] == 1
    assert f"+make the namespace {empty.namespace('edge-1')}" in told.stdout
    assert traces(empty) == {}


def test_too_few_cores_are_said_by_ansible_and_kept_for_the_manifest(lab: TrialLab) -> None:
    described = yaml.safe_load((lab.folder / "nodes.json").read_text("utf-8"))
    if described["usable_cores"] >= len(NODES):
        pytest.skip(f"this machine has {described['usable_cores']} cores, enough for {len(NODES)} busy parts")
    message = " ".join(lab.make().stderr.split())
    assert f"{described['usable_cores']} cores for 4 busy parts" in described["warning"]
    assert described["warning"] in message


# Being a node


@pytest.mark.parametrize("node", NODES)
def test_a_node_has_its_own_name_state_and_data_interface(lab: TrialLab, node: str) -> None:
    lab.ssh(node, "touch", f"{lab.state_dir}/i-am-{node}").check_returncode()
    seen = lab.ssh(node, "hostname;", "ls", str(lab.state_dir), ";", "ip", "-brief", "address", "show", "data0").stdout
    name, *files = seen.splitlines()[:-1]
    assert name == node
    assert sorted(files) == sorted(["home", "tmp", f"i-am-{node}"])
    assert f"{lab.data_address(NODES.index(node))}/24" in seen.splitlines()[-1]


def test_nodes_reach_each_other_on_the_data_network(lab: TrialLab) -> None:
    for node in NODES:
        for place in range(len(NODES)):
            assert knock(lab, node, lab.data_address(place)) == "ECONNREFUSED", f"{node} to {NODES[place]}"


def test_nodes_have_no_way_out_and_the_machine_none_into_the_data_network(lab: TrialLab) -> None:
    routes = lab.ssh("bs", "ip", "route").stdout
    assert "default" not in routes
    assert knock(lab, "bs", "192.0.2.2") == "ENETUNREACH"
    assert lab.ssh("bs", "cat", "/proc/sys/net/ipv4/ip_forward").stdout == "0\n"
    assert run(["ip", "route", "get", lab.data_address(0)]).stdout.count(lab.bridge) == 0


def test_a_node_sees_only_its_own_interfaces(lab: TrialLab) -> None:
    assert sorted(lab.ssh("edge-1", "ls", "/sys/class/net").stdout.split()) == ["data0", "lo", "mgmt0"]


def test_compute_nodes_run_on_their_core_and_so_do_their_children(lab: TrialLab) -> None:
    described = yaml.safe_load((lab.folder / "nodes.json").read_text("utf-8"))["nodes"]
    for node in NODES[1:]:
        status = lab.ssh(node, "cat", "/proc/self/status").stdout
        assert f"Cpus_allowed_list:\t{described[node]['cores'][0]}\n" in status


def test_what_a_node_writes_by_default_stays_in_its_own_folder(lab: TrialLab) -> None:
    made = lab.ssh("edge-1", "mktemp;", "echo", "~;", "touch", "/run/mine", "/var/log/mine", "/dev/shm/mine").stdout
    assert all(line.startswith(str(lab.state_dir)) for line in made.splitlines()), made
    for path in ("/run/mine", "/var/log/mine", "/dev/shm/mine"):
        assert not Path(path).exists()
        assert lab.ssh("edge-2", "ls", path).returncode != 0
        assert lab.ssh("edge-1", "rm", path).returncode == 0


def test_the_controllers_files_are_its_own(lab: TrialLab) -> None:
    assert lab.folder.stat().st_mode & 0o777 == 0o700
    assert (lab.folder / "id_ed25519").stat().st_mode & 0o777 == 0o600


def test_a_node_with_another_host_key_is_refused(lab: TrialLab, tmp_path: Path) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")]).check_returncode()
    kind, key, *_comment = (tmp_path / "other.pub").read_text("ascii").split()
    (tmp_path / "known_hosts").write_text(f"{lab.management_address(0)} {kind} {key}\n", encoding="ascii")
    refused = run(
        [
            *(str(BIN / "ansible"), "-i", str(lab.inventory), "bs", "-m", "ansible.builtin.ping"),
            # An own control path, or the connection that is open already would be used.
            *("-e", f"ansible_ssh_common_args='-F none -o UserKnownHostsFile={tmp_path}/known_hosts'"),
            *("-e", "ansible_ssh_args='-o ControlPath=none -o StrictHostKeyChecking=yes'"),
        ],
        cwd=ROOT,
    )
    assert refused.returncode != 0
    assert "Host key verification failed" in refused.stdout + refused.stderr


def test_a_password_is_not_asked_for(lab: TrialLab) -> None:
    tried = run(
        [
            *("ssh", "-F", "none", "-o", f"UserKnownHostsFile={lab.folder}/known_hosts"),
            *("-o", "PubkeyAuthentication=no", "-o", "BatchMode=yes", f"root@{lab.management_address(0)}", "true"),
        ]
    )
    assert "Permission denied (publickey)" in tried.stderr


def test_a_locked_root_account_is_no_obstacle(empty: TrialLab, tmp_path: Path) -> None:
    """Ubuntu locks root by `!` in shadow; here it is locked only for this run, which has its own mounts."""
    (tmp_path / "shadow").write_text("root:!:19000:0:99999:7:::\n", encoding="ascii")
    made = run(
        [
            *("unshare", "--mount", "sh", "-c", f'mount --bind {tmp_path}/shadow /etc/shadow && exec "$@"', "sh"),
            *empty.command("playbooks/lab.yml"),
        ],
        cwd=ROOT,
    )
    assert changed(made) == {"localhost": 1, **dict.fromkeys(NODES, 0)}
    assert empty.ssh("bs", "cat", "/etc/shadow").stdout.startswith("root:*:")


def test_a_host_without_a_data_address_is_named(empty: TrialLab) -> None:
    hosts = empty.inventory / "hosts.yml"
    hosts.write_text(
        hosts.read_text("utf-8").replace(f"data_address: {empty.data_address(1)}", "data_adress: x"), "utf-8"
    )
    refused = empty.make()
    assert refused.returncode != 0
    assert "data_address of edge-1 is '', not an IPv4 address" in " ".join((refused.stdout + refused.stderr).split())


def test_an_inventory_without_nodes_is_told_so(empty: TrialLab) -> None:
    (empty.inventory / "hosts.yml").write_text("all:\n  hosts: {}\n", encoding="utf-8")
    refused = empty.make("-e", "lab_kind=local")
    assert refused.returncode != 0
    assert "The inventory's group `nodes` is empty" in " ".join((refused.stdout + refused.stderr).split())


# Being put right


@pytest.mark.parametrize(
    "damage",
    [
        [
            "ip -netns {prefix}-bs link delete data0",
            "ip -netns {prefix}-bs link set lo down",
            "ip -netns {prefix}-edge-1 link set data0 mtu 1400",
            "ip -netns {prefix}-edge-1 address flush dev data0",
            "ip -netns {prefix}-cloud-1 address flush dev mgmt0",
            "rm {folder}/id_ed25519.pub",
            "rm {folder}/sshd/cloud-1/started",
        ],
        [
            "ip link delete {prefix}-mgmt",
            "ip netns delete {prefix}-edge-1",
            "ip netns delete {prefix}-data",
            "rm {folder}/known_hosts",
            "rm {folder}/sshd/bs/host_key",
            "rm -r {folder}/cp {folder}/nodes/bs/tmp",
        ],
    ],
    ids=["cables and keys", "bridges, namespaces and files"],
)
def test_what_was_damaged_is_put_right(lab: TrialLab, damage: list[str]) -> None:
    for line in damage:
        run(line.format(prefix=lab.prefix, folder=lab.folder).split()).check_returncode()
    assert changed(lab.make()) == {"localhost": 1, **dict.fromkeys(NODES, 0)}
    assert changed(lab.make())["localhost"] == 0
    for place in range(len(NODES)):
        assert knock(lab, "bs", lab.data_address(place)) == "ECONNREFUSED"


def test_the_lab_follows_the_inventory(empty: TrialLab) -> None:
    changed(empty.make())
    empty.describe({**PAPER_NODES, "edge": ("edge-1", "edge-2", "edge-3"), "cloud": ()})
    assert changed(empty.make()) == {"localhost": 1, "bs": 0, "edge-1": 0, "edge-2": 0, "edge-3": 0}
    assert not (empty.folder / "nodes" / "cloud-1").exists()
    assert empty.namespace("cloud-1") not in machine.named_namespaces()
    assert knock(empty, "edge-3", empty.data_address(0)) == "ECONNREFUSED"
    assert changed(empty.make())["localhost"] == 0


# Refusing


def test_a_namespace_that_somebody_else_made_is_refused_and_left_alone(empty: TrialLab) -> None:
    with foreign_namespace(empty.namespace("edge-1")):
        refused = empty.make()
        assert refused.returncode != 0
        message = " ".join((refused.stdout + refused.stderr).split())
        assert f"There is a network namespace {empty.namespace('edge-1')} that this lab" in message
        assert f"remove it (ip netns delete {empty.namespace('edge-1')}) or set lab_prefix" in message
        assert empty.remove().returncode == 0
        assert empty.namespace("edge-1") in machine.named_namespaces()
    assert traces(empty) == {}


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            ["link add {p}x type bridge", "address add {net}.1/24 dev {p}x"],
            "is in use: {p}x has the address {net}.1/24",
        ),
        (
            ["link add {p}x type bridge", "link set {p}x up", "route add 198.18.0.0/15 dev {p}x"],
            "is in use: this machine has a route to 198.18.0.0/15 by {p}x",
        ),
        (
            ["link add {p}-mgmt type bridge", "link add {p}x type bridge"],
            "There is an interface {p}-mgmt that this lab",
        ),
    ],
    ids=["address", "route", "bridge"],
)
def test_what_somebody_else_uses_is_refused_by_name(empty: TrialLab, lines: list[str], sentence: str) -> None:
    words = {"p": empty.prefix, "net": f"198.18.{empty.slot}"}
    with ExitStack() as undo:
        for name in (f"{empty.prefix}x", empty.bridge):
            undo.callback(run, ["ip", "link", "delete", name])
        for line in lines:
            run(["ip", *line.format(**words).split()]).check_returncode()
        refused = empty.make()
    assert refused.returncode != 0
    assert sentence.format(**words) in " ".join((refused.stdout + refused.stderr).split())


def test_a_folder_with_something_else_in_it_is_neither_used_nor_removed(empty: TrialLab) -> None:
    empty.folder.mkdir(mode=0o700)
    (empty.folder / "thesis.txt").write_text("mine", encoding="utf-8")
    try:
        for tried in (empty.make(), empty.remove()):
            assert tried.returncode != 0
            assert "holds something that is not a lab" in " ".join((tried.stdout + tried.stderr).split())
        assert (empty.folder / "thesis.txt").read_text("utf-8") == "mine"
    finally:
        (empty.folder / "thesis.txt").unlink()
        empty.folder.rmdir()


def test_asking_a_lab_that_is_not_there_does_not_keep_one_from_being_made(empty: TrialLab) -> None:
    (empty.folder / "cp").mkdir(mode=0o700, parents=True)  # what ssh leaves where no node answers
    assert changed(empty.make())
    assert changed(empty.remove())
    assert not empty.folder.exists()


def test_a_folder_in_which_others_may_write_is_refused(empty: TrialLab) -> None:
    refused = empty.make("-e", f"lab_dir=/tmp/{empty.prefix}")
    assert refused.returncode != 0
    assert "others may write in /tmp" in " ".join((refused.stdout + refused.stderr).split())


def test_without_root_one_sentence_says_so(empty: TrialLab) -> None:
    refused = run(
        [
            # A user namespace without a map: nobody to the program, though the files can be read.
            *("unshare", "--user", *empty.command("playbooks/lab.yml")),
        ],
        cwd=ROOT,
    )
    message = " ".join((refused.stdout + refused.stderr).split())
    assert refused.returncode != 0
    assert "requires root: run this with sudo" in message


# Being gone


def test_a_removed_lab_leaves_nothing_and_a_second_removal_changes_nothing(empty: TrialLab) -> None:
    changed(empty.make())
    empty.ssh("edge-1", "setsid sh -c 'trap \"\" TERM; while :; do sleep 600; done' > /dev/null 2>&1 < /dev/null &")
    assert traces(empty)["processes"]
    assert changed(empty.remove())["localhost"] == 1
    assert traces(empty) == {}
    assert changed(empty.remove())["localhost"] == 0


def test_removing_one_lab_leaves_another_as_it_is(lab: TrialLab, empty: TrialLab) -> None:
    changed(empty.make("-e", f"faasbed_state_dir={lab.state_dir}"))
    changed(empty.remove())
    assert lab.state_dir.is_dir()
    assert changed(lab.make())["localhost"] == 0


def test_a_preflight_of_a_lab_that_was_not_made_says_so_and_is_no_failure(empty: TrialLab, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "experiments", "preflight", "--inventory", str(empty.inventory)]
    done = run(words, cwd=ROOT, env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")})
    assert done.returncode == 0, done.stderr
    assert "are made by `make provision`, and are not there yet" in done.stdout
