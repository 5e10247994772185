"""What a testbed that was provisioned and reset leaves on the machine: nothing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from cluster import adopted, artifacts, missing
from host import Host, own_host
from replica import FUNCTIONS
from testbed import BIN, ROOT, trial_lab

from nodes.inventory import path_of

if TYPE_CHECKING:
    from image import BuiltImage

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "faasbed"
SCENARIO = {
    "name": "words",
    "title": "A function that counts words, 5 ms away",
    "links": [{"between": ["base_stations", "edge"], "delay_ms": 5}],
    "function": {"nodes": ["edge"], "replicas": 1, "module": "app.other_function"},
    "workload": {"name": "http", "share": ["texts"]},
    "requests": {"parallel": 1},
    "repetitions": 1,
}


def experiments(host: Host, *arguments: str, **environment: str) -> None:
    done = host.run(sys.executable, "-m", "experiments", *arguments, **environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.lab(judges_links=False)
def test_a_local_testbed_that_was_reset_leaves_the_machine_as_it_was(tmp_path: Path) -> None:
    project, scenario = tmp_path / "project", tmp_path / "words.yaml"
    for package in ("app", "collect", "experiments"):
        shutil.copytree(ROOT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(FUNCTIONS / "other_function.py", project / "app")
    scenario.write_text(yaml.safe_dump(SCENARIO), "utf-8")
    with trial_lab(tmp_path / "lab") as lab, own_host(tmp_path / "home") as host:
        lab.describe({"base_stations": ("bs",), "edge": ("edge-1",)})
        with (lab.inventory / "group_vars" / "all.yml").open("a", encoding="utf-8") as settings:
            yaml.safe_dump({"runtime_root": str(project)}, settings)
        what = ["--inventory", str(lab.inventory), "--scenario", str(scenario)]
        before = host.snapshot(lab)
        experiments(host, "provision", *what)
        variables = host.run(sys.executable, "-m", "experiments", "variables", *what).stdout
        shaped = host.run(
            str(BIN / "ansible-playbook"), "-i", str(lab.inventory), "playbooks/links.yml", "-e", variables
        )
        assert shaped.returncode == 0, shaped.stdout
        during = host.snapshot(lab)
        experiments(host, "reset", "--inventory", str(lab.inventory))
        after = host.snapshot(lab)
    assert during - before
    assert (sorted(after - before), sorted(before - after)) == ([], [])


@pytest.mark.long
@pytest.mark.lab(judges_links=False)
def test_a_cluster_that_was_reset_leaves_the_machine_as_it_was(tmp_path: Path, function_image: BuiltImage) -> None:
    if reason := missing():
        pytest.skip(reason)
    own = adopted(artifacts(), tmp_path / "artifacts")
    with trial_lab(tmp_path / "lab", "containers") as lab, own_host(tmp_path / "home") as host:
        lab.describe({"base_stations": ("bs",), "edge": ("edge-1", "edge-2")})
        settings = yaml.safe_load(path_of("containers").joinpath("group_vars", "all.yml").read_text("utf-8"))
        settings = {
            "function_platform": settings["function_platform"],
            "function_image_archive": str(function_image.build / "function.oci.tar"),
            # What is the user's, and takes long to make, from the user's cache.
            "runtime_wheels_dir": str(CACHE / "wheels"),
            "lab_cache_dir": str(CACHE),
        }
        with (lab.inventory / "group_vars" / "all.yml").open("a", encoding="utf-8") as variables:
            yaml.safe_dump(settings, variables)
        what = ["--inventory", str(lab.inventory)]
        before = host.snapshot(lab)
        experiments(host, "provision", *what, "--scenario", "edge", FAASBED_ARTIFACTS=str(own))
        during = host.snapshot(lab)
        experiments(host, "reset", *what)
        after = host.snapshot(lab)
    made = {line.split()[0] for line in during - before}
    assert {"container", "file", "group", "link", "mount", "namespace", "process"} <= made
    assert (sorted(after - before), sorted(before - after)) == ([], [])
