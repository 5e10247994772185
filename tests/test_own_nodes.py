"""Nodes as people have them: what stands in the way is said before anything is touched, and the rest works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from own_nodes import ASKED, PASSWORD
from testbed import ROOT, run

from collect import records
from collect.records import RequestRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from own_nodes import OwnNodes

pytestmark = pytest.mark.lab(judges_links=False)
ONLY_SSH = """
nft add table inet own
nft 'add chain inet own input { type filter hook input priority 0; policy drop; }'
nft add rule inet own input iif lo accept
nft add rule inet own input ct state established accept
nft add rule inet own input meta l4proto ipv6-icmp accept
nft add rule inet own input tcp dport 2222 accept
"""
ONLY_SSH_BY_IPTABLES = """
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
iptables -A INPUT -p tcp --dport 2222 -j ACCEPT
iptables -P INPUT DROP
"""
FLUSHED = "for program in iptables ip6tables; do $program -P INPUT ACCEPT; $program -F; $program -X; done"
ONLY_SSH_BY_UFW = "ufw allow 2222/tcp; ufw --force enable"
NO_UFW = f"ufw --force disable; {FLUSHED}"
# Without systemd, which starts it elsewhere.
ONLY_SSH_BY_FIREWALLD = """
mkdir -p /run/dbus
dbus-daemon --system --fork --print-pid=3 3>/run/dbus-pid
setsid firewalld --nofork --nopid </dev/null >/run/firewalld.log 2>&1 &
echo $! >/run/firewalld-pid
timeout 60 sh -c 'until firewall-cmd --state; do sleep 0.2; done'
firewall-cmd --add-port=2222/tcp
"""
NO_FIREWALLD = """
kill $(cat /run/firewalld-pid)
timeout 60 sh -c 'while kill -0 $(cat /run/firewalld-pid); do sleep 0.2; done' 2>/dev/null
kill $(cat /run/dbus-pid)
"""


@contextmanager
def installed(own: OwnNodes, node: str, package: str, folder: Path) -> Iterator[None]:
    """A Debian package on a node, which cannot reach where it comes from, with what it needs beside what is there."""
    if not package:
        yield
        return
    (folder / "partial").mkdir()
    download = [
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
        "--download-only",
        f"-oDir::Cache::archives={folder}",
    ]
    done = run([*download, package])
    if done.returncode:
        pytest.skip(f"apt-get cannot download {package}: {done.stderr.strip().splitlines()[-1]}")
    files = sorted(folder.glob("*.deb"))
    if not files:
        pytest.skip(f"{package} is installed on this machine, and so on its nodes in another state")
    there = Path(f"/proc/{own.machines[node].pid}/root/run/packages")
    there.mkdir()
    for file in files:
        shutil.copy(file, there)
    names = " ".join(run(["dpkg-deb", "--field", str(file), "Package"]).stdout.strip() for file in files)
    with broken(own, node, "dpkg --install /run/packages/*.deb", f"dpkg --purge {names}; rm -r /run/packages"):
        yield


@contextmanager
def broken(own: OwnNodes, node: str, script: str, mend: str) -> Iterator[None]:
    own.done(node, script)
    try:
        yield
    finally:
        own.done(node, mend)


def rows(own: OwnNodes, inventory: Path, *arguments: str, **environment: str) -> tuple[int, dict[str, list[str]]]:
    """The exit code of a preflight, and the sentences of its table by node."""
    done = own.experiments("preflight", inventory, "--scenario", "cloud", *arguments, **environment)
    table: dict[str, list[str]] = {}
    for line in done.stdout.partition("\npreflight: ")[2].splitlines()[1:]:
        host, _, sentence = line.strip().partition(" ")
        table.setdefault(host, []).append(sentence.strip())
    assert table, done.stdout + done.stderr
    return done.returncode, table


def test_nothing_in_the_way_is_said_and_nothing_is_changed(own: OwnNodes) -> None:
    look = "find /var/lib/faasbed -type f; nft list ruleset; ip -brief address; ss -Hlntu | sort"
    before = {node: own.shell(node, look).stdout for node in own.machines}
    # As `ip -brief address` prints the name, by templates, in a folder with a blank, under a locale that is not installed.
    inventory = own.inventory(
        "a né w", data_interface="data0@if4", netem_lease_s="{{ 2 * 3600 }}",
        hosts={"bs": {"data_address": "{{ ansible_host | replace('198.18', '198.19') }}"}},
    )  # fmt: skip
    assert rows(own, inventory, LC_ALL="xx_XX.UTF-8") == (0, {"bs": ["ok"], "cloud-1": ["ok"]})
    assert {node: own.shell(node, look).stdout for node in own.machines} == before


def test_all_that_stands_in_the_way_of_a_node_is_one_table_and_a_node_that_is_off_a_row_of_it(own: OwnNodes) -> None:
    hold = 'python3 -c \'import fcntl, time; f = open("/var/lib/dpkg/lock-frontend", "w"); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); time.sleep(600)\''
    off = {"cloud-1": {"ansible_host": own.lab.management_address(90)}}
    with (
        broken(own, "bs", "ip link set data0 down", "ip link set data0 up"),
        broken(
            own,
            "bs",
            f"setsid {hold} </dev/null >/tmp/lock 2>&1 & until [ -s /tmp/lock ]; do :; done",
            "pkill -f 'lock-fronten[d]'",
        ),
    ):
        code, table = rows(own, own.inventory("broken", off, faasbed_python=""), "--scenario", "cloud")
    assert code == 1
    assert "its data interface data0 is down: set it up (ip link set data0 up)" in table["bs"]
    assert any(re.match(r"process \d+ \(\S*python3 .*\) installs packages on it", one) for one in table["bs"])
    assert any(
        re.match(r"pip reaches no package index from it \(.+\): .*runtime_wheels_dir", one) for one in table["bs"]
    )
    assert [re.sub(r"\(.*\)", "()", one) for one in table["cloud-1"]] == [
        "Look for what stands in the way on the node: the node does not answer over SSH ()"
    ]


def test_an_inventory_that_is_wrong_about_the_data_network_is_named(own: OwnNodes) -> None:
    hosts: dict[str, dict[str, Any]] = {"bs": {"data_interface": "mgmt0"}, "cloud-1": {"data_address": None}}
    code, table = rows(own, own.inventory("wrong", hosts))
    assert code == 1
    address = own.lab.data_address(0)
    assert table["bs"] == [
        f"its data_address {address} is on data0, but data_interface is mgmt0: correct one of them in the inventory"
    ]
    assert table["cloud-1"] == ["host cloud-1 has no variable data_address; set it in its hosts.yml or group_vars"]
    there = {"bs": {"data_interface": "mgmt0", "data_address": own.lab.management_address(0)}}
    _, table = rows(own, own.inventory("other-way", there))
    assert any(re.match(r"it reaches cloud-1 \(.+\) by data0, but data_interface is mgmt0", one) for one in table["bs"])


BY_HAND = "open them in its firewall ({}: accept them in the input chain), or set open_ports: true"
BY_UFW = "open them (ufw allow 31080/tcp; ufw allow 31999/tcp; ufw allow 31999/udp; ufw allow 32000/udp; ufw allow 32080/tcp), or set"
BY_FIREWALLD = "open them (firewall-cmd --add-port=31080/tcp --add-port=31999/tcp --add-port=31999/udp --add-port=32000/udp --add-port=32080/tcp), or set"


@pytest.mark.parametrize(
    ("package", "script", "mend", "advice"),
    [
        ("", ONLY_SSH, "nft delete table inet own", BY_HAND.format("nftables")),
        pytest.param("", ONLY_SSH_BY_IPTABLES, FLUSHED, BY_HAND.format("iptables"), marks=pytest.mark.long),
        pytest.param("ufw", ONLY_SSH_BY_UFW, NO_UFW, BY_UFW, marks=pytest.mark.long),
        pytest.param("firewalld", ONLY_SSH_BY_FIREWALLD, NO_FIREWALLD, BY_FIREWALLD, marks=pytest.mark.long),
    ],
    ids=["nftables", "iptables", "ufw", "firewalld"],
)
def test_ports_that_a_firewall_closes_are_named_and_opened_until_they_are_closed(
    own: OwnNodes, tmp_path: Path, package: str, script: str, mend: str, advice: str
) -> None:
    with installed(own, "cloud-1", package, tmp_path), broken(own, "cloud-1", script, mend):
        rules = filtered(own)
        code, table = rows(own, own.inventory("closed"))
        assert code == 1
        assert table["bs"] == ["ok"]
        (sentence,) = table["cloud-1"]
        assert "bs cannot reach 31999/udp, 31999/tcp, 32000/udp, 31080/tcp, 32080/tcp of" in sentence
        assert advice in sentence
        opened = own.inventory("opened", open_ports=True)
        links = [{"source": "bs", "target": "cloud-1", "delay_ms": 20}]
        variables = ["-e", json.dumps({"netem_links": links})]
        for name, code in (("links", 0), ("verify", 2), ("clear", 0)):
            done = run([*playbook_command(own.folder / "closed", name), *variables], cwd=ROOT)
            assert done.returncode == code, done.stdout
            assert ("no probe of bs reached cloud-1: see make preflight" in done.stdout) == (name == "verify"), (
                done.stdout
            )
        shaped = run([*playbook_command(opened, "links"), *variables], cwd=ROOT)
        assert shaped.returncode == 0, shaped.stdout
        assert filtered(own) != rules
        cleared = run(playbook_command(opened, "clear"), cwd=ROOT)
        assert cleared.returncode == 0, cleared.stdout
        assert filtered(own) == rules


CGROUPS = Path("/sys/fs/cgroup")


@contextmanager
def with_control_groups(own: OwnNodes, node: str) -> Iterator[None]:
    """Mount this machine's control groups on one of these, whose /sys has none."""
    if (CGROUPS / "cgroup.controllers").exists():
        mounted = f"mount -t cgroup2 faasbed {CGROUPS}"
    else:
        mounted = f"mount -t tmpfs faasbed {CGROUPS}"
        for name in ("cpu", "memory"):
            mounted += f"; mkdir {CGROUPS}/{name}; mount -t cgroup -o {name} faasbed {CGROUPS}/{name}"
    with broken(own, node, mounted, f"umount -R {CGROUPS}"):
        yield


def test_what_limited_replicas_need_is_a_row_of_the_preflight(own: OwnNodes, tmp_path: Path) -> None:
    scenario = tmp_path / "slow-cloud.yaml"
    cloud = (ROOT / "experiments" / "cloud.yaml").read_text()
    scenario.write_text(cloud + "resources: {cloud: {cpus: 0.5, memory_mib: 1024}}\n")
    look = "find /var/lib/faasbed -type f; find /sys/fs/cgroup -name faasbed-cloud-1"
    code, table = rows(own, own.inventory("limited"), "--scenario", str(scenario))
    lacks = (
        "no control groups with cpu and memory below /sys/fs/cgroup, which resources of a scenario need: enable these"
    )
    assert (code, table["bs"], [one.startswith(lacks) for one in table["cloud-1"]]) == (1, ["ok"], [True]), table
    assert rows(own, own.inventory("limited"))[0] == 0, "a scenario without resources needs none"
    with with_control_groups(own, "cloud-1"):
        before = own.shell("cloud-1", look).stdout
        code, table = rows(own, own.inventory("limited"), "--scenario", str(scenario))
        assert (code, table["cloud-1"]) == (0, ["ok"]), table
        no_root = own.inventory("no root", ansible_become=False)
        _, table = rows(own, no_root, "--scenario", str(scenario))
        alone = "has resources of its own (cpus, memory_mib), which only root can set: let Ansible become root there"
        assert {node: any(alone in one for one in own_rows) for node, own_rows in table.items()} == {
            "bs": False,
            "cloud-1": True,
        }, table
        assert own.shell("cloud-1", look).stdout == before


def test_links_name_the_node_that_lacks_an_address_and_removal_needs_none(own: OwnNodes) -> None:
    links = [{"source": "bs", "target": "cloud-1", "delay_ms": 20}]
    given = ["-e", json.dumps({"netem_links": links}), "--limit", "bs", "--check", "--diff"]
    shown = run([*playbook_command(own.inventory("plain"), "links"), *given], cwd=ROOT)
    assert shown.returncode == 0, shown.stdout
    assert "+bs -> cloud-1: 20 ms, 0 % loss" in shown.stdout
    assert "import" not in shown.stdout, "what changes, not the source of the emulator"
    nameless = own.inventory("nameless", {"cloud-1": {"data_address": None}})
    refused = run([*playbook_command(nameless, "links"), *given], cwd=ROOT)
    assert refused.returncode == 2
    assert "the inventory has no host 'cloud-1' with a data_address; it has bs." in refused.stdout
    cleared = run([*playbook_command(nameless, "clear"), "--limit", "cloud-1"], cwd=ROOT)
    assert cleared.returncode == 0, cleared.stdout


def filtered(own: OwnNodes) -> str:
    """The rules of a node's firewall, without what they count."""
    shown = own.done("cloud-1", "nft list ruleset; iptables-save -t filter | grep -v '^[#:]'")
    return re.sub(r"packets \d+ bytes \d+", "", shown)


def playbook_command(inventory: Path, name: str) -> list[str]:
    return [sys.executable.replace("python", "ansible-playbook"), "-i", str(inventory), f"playbooks/{name}.yml"]


def test_a_sudo_password_is_asked_for_once_and_kept_nowhere(own: OwnNodes) -> None:
    inventory = own.inventory("asked", ansible_user=ASKED)
    code, table = rows(own, inventory)
    assert code == 1
    assert all("run it again with ASK_BECOME_PASS=1" in row for sentences in table.values() for row in sentences)
    words = [sys.executable, "-m", "experiments", "preflight", "--inventory", str(inventory), "--ask-become-pass"]
    state = {"XDG_STATE_HOME": str(own.folder / "state"), "XDG_CACHE_HOME": str(own.folder / "cache")}
    asked = subprocess.Popen(
        [*words, "--scenario", "cloud"], cwd=ROOT, env=os.environ | state, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    output, _ = asked.communicate(PASSWORD + "\n", timeout=120)
    assert asked.returncode == 0, output
    kept = [
        path
        for path in (own.folder / "state").rglob("*")
        if path.is_file() and PASSWORD in path.read_text(errors="replace")
    ]
    assert kept == []


def test_a_node_that_is_off_ends_a_provision_before_it_begins(own: OwnNodes) -> None:
    inventory = own.inventory("off", {"bs": {"ansible_host": own.lab.management_address(90)}})
    done = own.experiments("provision", inventory, "--scenario", "cloud")
    assert done.returncode == 1
    assert "error: bs: Answer Ansible: the node does not answer over SSH" in done.stderr
    assert "nothing was done on the other nodes. ALLOW_MISSING=1 (--allow-missing) provisions those" in done.stderr
    assert own.shell("cloud-1", "find /var/lib/faasbed -type f 2>/dev/null").stdout == ""
    recap = r"cloud-1 +: ok=2 .* failed=0 "  # it has answered, and the play goes on
    assert not re.search(recap, run(playbook_command(inventory, "lab"), cwd=ROOT).stdout)
    missing = run([*playbook_command(inventory, "lab"), "-e", "allow_missing=true"], cwd=ROOT)
    assert re.search(recap, missing.stdout), missing.stdout


def test_a_node_that_reaches_no_package_index_is_told_pips_reason_and_how_to_bring_wheels(own: OwnNodes) -> None:
    nowhere = {"PIP_RETRIES": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    inventory = own.inventory("alone", faasbed_python="", runtime_install_environment=nowhere)
    deployed = run([*playbook_command(inventory, "function"), "--limit", "bs"], cwd=ROOT)
    assert deployed.returncode == 2
    assert re.search(
        r"pip could not install requirements/node.txt on bs: ERROR: .+\. +Where the node reaches no package index",
        deployed.stdout,
    )
    assert "set runtime_wheels_dir to a folder on the controller" in deployed.stdout
    own.done("bs", "rm -r /var/lib/faasbed/runtime")


WORDS = """
name: words
title: Words are counted
links: [{between: all, delay_ms: 25}]
function: {nodes: [cloud], replicas: 1, module: app.word_count}
requests: {parallel: 1}
workload: {name: http, share: [texts]}
warmups: 0
repetitions: 2
"""


@pytest.mark.lab
@pytest.mark.long  # a whole experiment
def test_a_run_behind_sudo_and_a_firewall_over_ipv6_only_by_the_second_address(own: OwnNodes, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "your-own-function.md").read_text(encoding="utf-8")
    (module,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    project = tmp_path / "prójet mine"
    for package in ("app", "collect", "experiments"):
        shutil.copytree(ROOT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
    (project / "app" / "word_count.py").write_text(module, encoding="utf-8")
    (project / "words.yaml").write_text(WORDS, encoding="utf-8")
    hosts = {node: {"data_address": f"fd00:faa5::{place}"} for place, node in enumerate(own.machines, 10)}
    inventory = own.inventory(
        "my nodés", hosts, open_ports=True, runtime_root=str(project), data_interface="data0@if4", netem_probes=300,
        netem_lease_s="{{ 2 * 3600 }}", netem_responders_live_s=300,
    )  # fmt: skip
    addresses = "ip -brief address show dev data0"
    before = own.done("bs", addresses)
    with ExitStack() as stack:
        for place, node in enumerate(own.machines, 10):
            stack.enter_context(broken(own, node, ONLY_SSH, "nft delete table inet own"))
            add = f"ip -6 address add fd00:faa5::{place}/64 dev data0 nodad; ip -4 address flush dev data0"
            back = f"ip -6 address flush dev data0; ip address add {own.lab.data_address(place - 10)}/24 dev data0"
            stack.enter_context(broken(own, node, add, back))
        # What leaves from any address leaves from another one.
        other = "ip -6 address add fd00:faa5::99/64 dev data0 nodad; ip -6 route replace fd00:faa5::/64 dev data0 src fd00:faa5::99"
        own.done("bs", other)
        assert "src fd00:faa5::99" in own.done("bs", "ip route get fd00:faa5::11")
        rules = filtered(own)
        options = ["--scenario", str(project / "words.yaml"), "--results", str(tmp_path / "résults of mine")]
        done = own.experiments("experiment", inventory, *options, LC_ALL="C")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        supervisor = own.done("cloud-1", "ps -wweo user,args | grep '[s]upervisord -c /var/lib/faasbed/'")
        assert supervisor.startswith("root ")
        removed = own.experiments("reset", inventory)
        assert removed.returncode == 0, removed.stderr
        assert filtered(own) == rules
        for node in own.machines:
            assert own.shell(node, "find /var/lib/faasbed -type f").stdout == ""
    assert own.done("bs", addresses) == before
    (folder,) = (tmp_path / "résults of mine").iterdir()
    requests = [one for one in records.read(folder / "raw" / "samples.jsonl") if isinstance(one, RequestRecord)]
    assert [request.error for request in requests] == [None, None]
    # There and back over the links: a connection from another address would have come back unshaped.
    connects_ms = [((one.connected_ns or 0) - (one.sent_ns or 0)) / 1e6 for one in requests]
    assert all(50 <= connect_ms < 150 for connect_ms in connects_ms), connects_ms
    assert [request.links_rtt_ms for request in requests] == [50, 50]
    assert all(49.9 <= (request.min_rtt_ms or 0) < 150 for request in requests)
