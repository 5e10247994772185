"""The role as a user runs it: plain ansible-playbook, over SSH, on a lab of four nodes."""

from __future__ import annotations

import json
import re
import time
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from testbed import ROOT, changed, lost_controller

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbed import TrialLab

pytestmark = pytest.mark.lab

EDGE, CLOUD = (1.25, 0.25, 0.02), (15, 3, 0.24)


def pairs(*nodes: str, values: tuple[float, float, float]) -> list[dict[str, Any]]:
    keys = ("delay_ms", "jitter_ms", "loss_percent")
    return [{"source": a, "target": b, **dict(zip(keys, values, strict=True))} for a, b in permutations(nodes, 2)]


LINKS = pairs("bs", "edge-1", "edge-2", values=EDGE) + pairs("bs", "cloud-1", values=CLOUD)


def given(links: list[dict[str, Any]], **more: Any) -> list[str]:
    return ["-e", json.dumps({"netem_links": links, **more})]


def only(*nodes: str) -> list[str]:
    """The options that leave out the nodes without a link: a play takes a second or two for each."""
    return ["--limit", ",".join(nodes)]


def tc(lab: TrialLab) -> dict[str, str]:
    shown = "tc qdisc show dev data0; tc filter show dev data0 egress 2>/dev/null; ip -d link; ls -A"
    return {node: lab.ssh(node, f"{shown} {lab.state_dir}").stdout for node in ("bs", "edge-1", "edge-2", "cloud-1")}


@pytest.fixture
def clear(lab: TrialLab) -> Iterator[TrialLab]:
    """The lab without any link; and without any again."""
    yield lab
    changed(lab.playbook("playbooks/clear.yml"))


def test_links_are_applied_once_verified_and_removed_without_a_trace(clear: TrialLab, tmp_path: Path):
    before = tc(clear)
    trial = clear.playbook("playbooks/links.yml", "--check", "--diff", *given(LINKS))
    assert "bs -> cloud-1: 15 ms ± 3 ms, 0.24 % loss" in trial.stdout
    assert tc(clear) == before
    assert all(changed(clear.playbook("playbooks/links.yml", *given(LINKS))).values())
    assert set(changed(clear.playbook("playbooks/links.yml", *given(LINKS))).values()) == {0}
    report = tmp_path / "links.json"
    verified = clear.playbook("playbooks/verify.yml", *given(LINKS, netem_report_file=str(report)))
    assert set(changed(verified).values()) == {0}
    written = json.loads(report.read_text(encoding="utf-8"))
    assert {(one["link"]["source"], one["link"]["target"]) for one in written["links"]} == {
        (a["source"], a["target"]) for a in LINKS
    }
    assert all(one["ok"] and one["clock"] == "shared" and one["probes"]["sent"] == 1000 for one in written["links"])
    passed = (
        r"\d ms \(path alone [\d.]+\), round trip [\d.]+ ± [\d.]+ ms, "
        r"lost \d+ of 1000 \(detects >= [\d.]+ %\)(, reordered [^:]+)?: ok"
    )
    assert len(re.findall(passed, verified.stdout)) == len(LINKS)
    in_force = clear.playbook("playbooks/verify.yml", "-e", "netem_probes=200")
    assert "bs -> cloud-1: 15 ms ± 3 ms, 0.24 % loss: measured" in in_force.stdout, (
        "without netem_links: what is in force"
    )
    assert all(changed(clear.playbook("playbooks/clear.yml")).values())
    assert tc(clear) == before
    assert set(changed(clear.playbook("playbooks/clear.yml")).values()) == {0}


@pytest.mark.lab(judges_links=False)
def test_the_readmes_smallest_playbook_works_as_printed(clear: TrialLab, tmp_path: Path):
    (printed,) = re.findall(
        r"```yaml\n(.*?)```", (ROOT / "roles" / "netem" / "README.md").read_text("utf-8"), re.DOTALL
    )
    playbook = tmp_path / "smallest.yml"
    playbook.write_text(printed, encoding="utf-8")
    before = tc(clear)
    by_node = changed(clear.playbook(playbook))
    assert by_node["bs"] > 0
    assert by_node["edge-1"] > 0
    assert "fb-data0" in tc(clear)["bs"] or "netem" in tc(clear)["bs"]
    changed(clear.playbook("playbooks/clear.yml"))
    assert tc(clear) == before


def test_the_paths_own_delay_is_a_part_of_the_links_where_that_was_asked_for(clear: TrialLab, tmp_path: Path):
    asked, report = pairs("bs", "edge-1", values=EDGE), tmp_path / "links.json"
    two = only("bs", "edge-1")
    options = [*two, *given(asked, netem_compensate_path=True, netem_report_file=str(report))]
    trial = clear.playbook("playbooks/links.yml", "--check", "--diff", *options)
    assert changed(trial)["bs"], "what is not known yet is no obstacle to a trial run"
    applied = clear.playbook("playbooks/links.yml", "--diff", *options)
    assert re.search(r"bs -> edge-1: 1.25 ms ± 0.25 ms, 0.02 % loss, of which the path takes 0\.\d+ ms", applied.stdout)
    assert set(changed(clear.playbook("playbooks/links.yml", *options)).values()) == {0}
    verified = clear.playbook("playbooks/verify.yml", *options)
    assert set(changed(verified).values()) == {0}
    links = json.loads(report.read_text(encoding="utf-8"))["links"]
    assert all(0 < one["path"]["compensated_ms"] < 0.25 and one["expected"]["median_ms"] < 1.251 for one in links)
    refused = clear.playbook("playbooks/verify.yml", *two, *given(asked))
    assert "In force are other links than asked for" in refused.stdout, "without the option they are other links"


def test_a_link_that_is_off_fails_verification_with_the_numbers_and_still_leaves_the_report(
    clear: TrialLab, tmp_path: Path
):
    asked = pairs("bs", "cloud-1", values=CLOUD)
    doubled = [{**link, "delay_ms": 30} if link["source"] == "bs" else link for link in asked]
    two = only("bs", "cloud-1")
    changed(clear.playbook("playbooks/links.yml", *two, *given(doubled)))
    report = tmp_path / "links.json"
    more = {"netem_report_file": str(report), "netem_patience_s": 10}
    refused = clear.playbook("playbooks/verify.yml", *two, *given(asked, **more))
    assert refused.returncode != 0
    assert re.search(r"bs -> cloud-1: .*OFF: delay (29|30)\.\d+ ms, expected 15\.\d+ ± 0\.\d+ ms", refused.stdout)
    links = json.loads(report.read_text(encoding="utf-8"))["links"]
    there, back = sorted(links, key=lambda one: str(one["link"]["source"]))
    assert back["problems"] == []
    assert (there["ok"], back["ok"]) == (False, True)
    assert there["measured_before"], "a link that is off is measured again"
    assert all("OFF: delay " in sentence for sentence in there["measured_before"])


@pytest.mark.lab(judges_links=False)
def test_a_link_to_an_unknown_node_is_refused_before_anything_is_touched(clear: TrialLab):
    before = tc(clear)
    refused = clear.playbook("playbooks/links.yml", *given([{"source": "bs", "target": "edge-9", "delay_ms": 1}]))
    assert refused.returncode != 0
    assert "bs -> edge-9: the inventory has no host 'edge-9' with a data_address" in refused.stdout
    assert tc(clear) == before


@pytest.mark.lab(judges_links=False)
def test_links_of_a_controller_that_was_killed_clear_themselves(clear: TrialLab, tmp_path: Path):
    before = tc(clear)
    with lost_controller(clear, tmp_path, lease_s=30):
        shaped = tc(clear)
    assert all("clsact" in shown or "netem" in shown for shown in shaped.values())
    deadline = time.monotonic() + 90
    seen = shaped
    while any("fb-" in shown or "fb00:" in shown for shown in seen.values()) and time.monotonic() < deadline:
        time.sleep(1)
        seen = tc(clear)
    left = {node: "".join(line for line in shown.splitlines(True) if line != "netem\n") for node, shown in seen.items()}
    assert left == before
    late = clear.playbook("playbooks/renew.yml")
    assert late.returncode != 0
    assert "expired at" in late.stdout


def test_a_node_that_lost_its_carrier_fails_verification_by_that_name(clear: TrialLab):
    asked = [*only("bs", "edge-1"), *given(pairs("bs", "edge-1", values=EDGE))]
    changed(clear.playbook("playbooks/links.yml", *asked))
    clear.ssh("edge-1", "ip link set data0 down && ip link set data0 up")
    refused = clear.playbook("playbooks/verify.yml", *asked, "-e", "netem_patience_s=0")
    assert refused.returncode != 0
    assert re.search(r"data0 lost or found its carrier \d+ times since the links were applied", refused.stdout)
    changed(clear.playbook("playbooks/links.yml", *asked))
    changed(clear.playbook("playbooks/verify.yml", *asked))
