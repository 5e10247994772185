"""Somebody's own function, as docs/your-own-function.md shows it, measured on the lab by the paper's steps."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from testbed import ROOT, trial_lab

from collect import records
from collect.records import ModelRecord, RequestRecord

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.lab,
    pytest.mark.long,  # a whole experiment; what is particular to it is tested on the loopback too
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]


def experiments(*arguments: str) -> str:
    command = [sys.executable, "-m", "experiments", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_documented_function_is_measured_as_documented(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "your-own-function.md").read_text(encoding="utf-8")
    (module,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (scenario,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    for package in ("app", "collect", "experiments"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "app" / "word_count.py").write_text(module, encoding="utf-8")
    (tmp_path / "word_count.yaml").write_text(scenario, encoding="utf-8")
    results = tmp_path / "results"
    with trial_lab(tmp_path / "lab") as lab:
        variables = lab.inventory / "group_vars" / "all.yml"
        settings = yaml.safe_load(variables.read_text(encoding="utf-8"))
        variables.write_text(yaml.safe_dump({**settings, "runtime_root": str(tmp_path)}), encoding="utf-8")
        inventory = ["--inventory", str(lab.inventory)]
        options = ["--scenario", str(tmp_path / "word_count.yaml"), "--repetitions", "2", "--results", str(results)]
        experiments("experiment", *inventory, *options)
        experiments("reset", *inventory)
    (run,) = results.iterdir()
    read = list(records.read(run / "raw" / "samples.jsonl"))
    requests = [record for record in read if isinstance(record, RequestRecord)]
    models = [record for record in read if isinstance(record, ModelRecord)]
    assert [(model.error, model.accuracy_test) for model in models] == [(None, None)] * 3
    assert {request.node for request in requests} == {"edge-1", "edge-2"}
    assert all("count" in request.phases_ms for request in requests)
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert "words-edge-1" in str(manifest["replicas"])
    assert {model.qualities[0].measure for model in models} == {"distinct words"}
    assert "Box plots of the distinct words. words: median " in (run / "report.html").read_text(encoding="utf-8")
