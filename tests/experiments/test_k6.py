"""A plan for other load generators: its trace replays to the same arrivals, and its script sends the same requests."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from driven import TEXTS, drawn, loaded

from experiments import k6
from experiments.__main__ import main
from experiments.errors import SpecError
from experiments.outlook import repetition_of

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.base_station.sending import Ready
    from experiments.spec import Experiment

NODE = shutil.which("node") or shutil.which("nodejs")
URL = "http://192.0.2.11:31080/"
KINDS = {"small": {"body": "1", "weight": 3}, "large": {"body": '{"texts": ["one"]}'}}
POISSON = {
    "requests": {},
    "traffic": {"arrivals": "poisson", "rate_per_s": 50, "count": 40},
    "workload": {"name": "http", "kinds": KINDS},
}
# What k6 brings, for Node.js: the script is the module that k6 would run, without its imports.
STUB = """
const open = (name, mode) => require('fs').readFileSync(require('path').join(process.argv[2], name), mode ? null : 'utf-8');
const sent = [], slept = [];
let answered = 200;
const http = { post: (url, body, params) => (sent.push({url, body: body.toString(), params}), {status: answered}) };
const exec = { scenario: { iterationInTest: 0, startTime: Date.now() + 1000000 } };
const check = (reply, tests) => Object.values(tests).forEach((one) => { if (!one(reply)) throw new Error('check'); });
const sleep = (seconds) => slept.push(seconds);
const __ENV = {};
"""
RUN = """
for (const one of Object.values(options.scenarios)) {
  const count = one.iterations || 10;
  for (; exec.scenario.iterationInTest < count; exec.scenario.iterationInTest++) main();
}
console.log(JSON.stringify({ sent, slept, options }));
"""
NEEDS_NODE = pytest.mark.skipif(NODE is None, reason="Node.js reads the script: apt-get install nodejs")


def exported(experiment: Experiment, folder: Path, repetition: int = 0) -> Ready:
    """Write a plan's files to a folder; return the requests that it has."""
    plan = drawn(experiment, URL)
    for name, content in k6.files(plan, TEXTS, repetition):
        (folder / name).write_bytes(content)
    return repetition_of(plan, "words", "bs", TEXTS, repetition).ready()


def run_by_node(folder: Path) -> dict[str, Any]:
    """Let Node.js do what k6 does with the script, one iteration after the other."""
    script = (folder / "words.js").read_text(encoding="utf-8")
    plain = re.sub(r"^import .*\n", "", script, flags=re.MULTILINE)
    plain = plain.replace("export default function ()", "function main()").replace("export const", "const")
    (folder / "run.cjs").write_text(STUB + plain + RUN, encoding="utf-8")
    done = subprocess.run(
        [str(NODE), str(folder / "run.cjs"), str(folder)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_the_trace_replays_to_the_same_arrivals_and_kinds(tmp_path: Path) -> None:
    planned = exported(loaded(tmp_path, **POISSON), tmp_path, 2)
    replayed = loaded(tmp_path, **{**POISSON, "traffic": {"arrivals": "trace", "file": "words.csv"}})
    again = repetition_of(drawn(replayed, URL), "words", "bs", TEXTS, 0).ready()
    assert [due for _, due, _ in again.requests] == [due for _, due, _ in planned.requests]
    assert len({due.kind for _, due, _ in planned.requests}) == 2
    assert [body for _, _, body in again.requests] == [body for _, _, body in planned.requests]


@NEEDS_NODE
@pytest.mark.parametrize("changes", [{}, POISSON], ids=["together", "poisson"])
def test_the_script_sends_each_request_at_its_time(tmp_path: Path, changes: dict[str, Any]) -> None:
    transport = {"encoding": "plain", "connections": "kept"}
    planned = exported(loaded(tmp_path, **changes, transport=transport), tmp_path)
    checked = subprocess.run(
        [str(NODE), "--check", "--input-type=module"],
        input=(tmp_path / "words.js").read_text(encoding="utf-8"),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    told = run_by_node(tmp_path)
    assert [one["body"].encode() for one in told["sent"]] == [body for _, _, body in planned.requests]
    assert {one["url"] for one in told["sent"]} == {URL}
    headers = told["sent"][0]["params"]["headers"]
    assert headers == {"Host": "words.faasbed.local", "Content-Type": "application/json"}
    assert told["options"]["noConnectionReuse"] is False
    # The script begins a thousand seconds from now, so that it waits for each request.
    offsets = [due.offset_s for _, due, _ in planned.requests]
    assert len(told["slept"]) == len(offsets)
    assert all(abs(slept - offset - 1000) < 30 for slept, offset in zip(told["slept"], offsets, strict=True))
    between = [later - earlier for earlier, later in pairwise(told["slept"])]
    expected = [later - earlier for earlier, later in pairwise(offsets)]
    assert all(abs(a - b) < 5 for a, b in zip(between, expected, strict=True))


@NEEDS_NODE
def test_clients_that_wait_for_replies_have_a_script_and_no_trace(tmp_path: Path) -> None:
    traffic = {"arrivals": "closed", "clients": 3, "think_s": 0.5, "count": 12}
    exported(loaded(tmp_path, requests={}, traffic=traffic), tmp_path)
    assert not (tmp_path / "words.csv").exists()
    told = run_by_node(tmp_path)
    assert (len(told["sent"]), set(told["slept"])) == (12, {0.5})
    assert told["options"]["scenarios"]["words"]["vus"] == 3


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_packed_bodies_are_exported_as_they_are_sent(tmp_path: Path, encoding: str) -> None:
    planned = exported(loaded(tmp_path, transport={"encoding": encoding}), tmp_path)
    assert f'"Content-Encoding": "{encoding}"' in (tmp_path / "words.js").read_text(encoding="utf-8")
    bodies = {path.read_bytes() for path in tmp_path.glob("words-*.body")}
    assert bodies == {body for _, _, body in planned.requests}


def test_what_k6_cannot_send_and_what_is_not_planned_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"scenario words: transport\.protocol http/2: k6 speaks it over TLS only"):
        exported(loaded(tmp_path, transport={"protocol": "http/2"}), tmp_path)
    with pytest.raises(SpecError, match="there is no repetition 3: the plan has 3, counted from 0"):
        exported(loaded(tmp_path), tmp_path, 3)


def test_the_command_writes_the_files_of_a_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded(tmp_path, workload={"name": "http", "body": "{}"})
    assert main(["export", "--scenario", str(tmp_path / "words.yaml"), "--to", str(tmp_path / "k6")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "k6" / "words.csv"), str(tmp_path / "k6" / "words.js")]
    assert (tmp_path / "k6" / "words-1.body").read_bytes() == b"{}"
    assert (tmp_path / "k6" / "words.csv").read_text(encoding="utf-8") == "offset_s\n0.0\n0.0\n"
