"""Somebody's own function, as docs/your-own-function.md shows it, deployed on the lab instead of the project's."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testbed import BIN, ROOT, TrialLab, changed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab(judges_links=False)
REMOVAL = '{"function_action": "remove"}'
READ_ANYTHING = 1 << 2  # CAP_DAC_READ_SEARCH, linux/capability.h
BODY = b'{"texts": ["one two two"]}'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project's code with the documented module beside ours."""
    page = (ROOT / "docs/your-own-function.md").read_text(encoding="utf-8")
    (module,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for package in ("app", "collect", "experiments"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "app" / "word_count.py").write_text(module, encoding="utf-8")
    return tmp_path


def deployment(project: Path, **more: str) -> list[str]:
    """The variables that deploy the documented module as a service on edge-1, as ansible-playbook takes them."""
    service = {"name": "words", "nodes": ["edge-1"], "gateway": "edge-1", "port": 31080}
    variables = {
        "runtime_root": str(project),
        "function_module": "app.word_count",
        "function_services": [{**service, "congestion_control": "cubic", "timeout_s": 30}],
    }
    return ["-e", json.dumps(variables | more)]


@pytest.fixture
def variables(project: Path) -> list[str]:
    """Those of this project."""
    return deployment(project)


@pytest.fixture(scope="module", autouse=True)
def _empty_nodes(lab: TrialLab) -> Iterator[None]:
    """The lab is shared: other tests find its nodes empty."""
    yield
    removal = deployment(ROOT, function_action="remove", runtime_action="remove")
    assert changed(lab.playbook("playbooks/function.yml", *removal))


def test_the_documented_function_runs_behind_the_gateway_of_a_lab(lab: TrialLab, variables: list[str]) -> None:
    try:
        assert changed(lab.playbook("playbooks/function.yml", *variables))["edge-1"] > 0
        assert changed(lab.playbook("playbooks/function.yml", *variables))["edge-1"] == 0
        url = f"http://{lab.data_address(1)}:31080/"
        ask = f"import urllib.request as u; r = u.urlopen({url!r}, {BODY!r}, 30); print(r.headers, r.read().decode())"
        answered = lab.ssh("bs", shlex.join(["python3", "-c", ask]))
        assert answered.returncode == 0, answered.stderr
        headers, _, body = answered.stdout.partition("\n\n")
        reply = json.loads(body)
        assert reply["words"] == {"two": 2, "one": 1}
        assert (reply["node"], reply["replica"]) == ("edge-1", "words-edge-1")
        assert re.search(r"^server-timing: .*, count;dur=[\d.]+(, start_|$)", headers, re.MULTILINE)
        supervisor = f"{BIN}/supervisorctl -c {lab.state_dir}/function/supervisord.conf pid replica:replica-words"
        (pid,) = lab.ssh("edge-1", supervisor).stdout.split()
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
        )
        assert set(status["Uid"].split()) == {"65532"}
        assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == READ_ANYTHING
        assert status["NoNewPrivs"] == "1"
    finally:
        assert changed(lab.playbook("playbooks/function.yml", *variables, "-e", REMOVAL))


def test_a_function_that_cannot_be_warmed_up_is_named_with_its_log(
    lab: TrialLab, project: Path, variables: list[str]
) -> None:
    with (project / "app" / "word_count.py").open("a", encoding="utf-8") as module:
        module.write('\n\ndef warm_up():\n    raise RuntimeError("no words to count with")\n')
    try:
        refused = lab.playbook("playbooks/function.yml", *variables, "-e", "function_ready_timeout_s=10")
        words = " ".join(refused.stdout.split())
        assert refused.returncode != 0
        assert f"{lab.data_address(1)}:32080 is not ready after 10 s: it answers 503" in words
        assert "The function could not be warmed up; its log says why." in words
        assert "RuntimeError: no words to count with" in words
    finally:
        lab.playbook("playbooks/function.yml", *variables, "-e", REMOVAL)
