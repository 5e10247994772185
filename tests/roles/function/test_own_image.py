"""A function that is not Python: what the cluster is told of its image, and docs/your-own-function.md's in Go, measured."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from testbed import BIN, ROOT, run

from experiments.workloads import make
from experiments.workloads.data import Dataset

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGE = f"registry.example.org/word-count@{DIGEST}"
SERVICE = {"port": 31080, "congestion_control": "cubic", "timeout_s": 300, "gateway": "edge-1"}
SERVICES = [
    {"name": "words", "nodes": ["edge-1", "edge-2"], "image": IMAGE, **SERVICE},
    {"name": "ours", "nodes": ["edge-1"], **SERVICE},
]
DEADLINE_S = 120


def manifests(tmp_path: Path) -> dict[str, Any]:
    """The Knative Services that the role would apply, by name, as Ansible renders them."""
    variables = {"function_services": SERVICES, "function_image": "dev.local/ours@sha256:1"}
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROOT / "roles" / "function" / "defaults" / "main.yml")],
        "tasks": [
            {
                "ansible.builtin.template": {
                    "src": str(ROOT / "roles" / "function" / "templates" / "knative.yaml.j2"),
                    "dest": str(tmp_path / "services.yaml"),
                    "mode": "0644",
                }
            }
        ],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    extra = json.dumps({**variables, "role_path": str(tmp_path), "ansible_python_interpreter": sys.executable})
    command = [
        str(BIN / "ansible-playbook"),
        "-i",
        "localhost,",
        "-c",
        "local",
        str(tmp_path / "play.yml"),
        "-e",
        extra,
    ]
    done = run(command, cwd=ROOT, env=dict(os.environ), deadline_s=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    documents = yaml.safe_load_all((tmp_path / "services.yaml").read_text(encoding="utf-8"))
    return {one["metadata"]["name"]: one["spec"] for one in documents if one["kind"] == "Service"}


def test_a_service_runs_the_image_that_its_scenario_names_with_the_same_rights(tmp_path: Path) -> None:
    specs = manifests(tmp_path)
    (theirs,), (ours,) = (specs[name]["template"]["spec"]["containers"] for name in ("words", "ours"))
    assert (theirs["image"], ours["image"]) == (IMAGE, "dev.local/ours@sha256:1")
    names = {one["name"] for one in theirs["env"]}
    assert {"FUNCTION_NODE", "FUNCTION_REPLICA"} < names
    assert "FUNCTION_MODULE" not in names
    assert "readinessProbe" not in theirs, "Knative's own asks the port"
    assert ours["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert theirs["securityContext"] == ours["securityContext"]
    assert specs["words"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


@pytest.mark.long
@pytest.mark.skipif(shutil.which("go") is None, reason="the documented function is built with Go")
def test_the_documented_function_in_go_answers_as_the_scenario_reads_it(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "your-own-function.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"```go\n(.*?)```", page, re.DOTALL)
    (tmp_path / "main.go").write_text(source, encoding="utf-8")
    built = subprocess.run(
        ["go", "build", "-trimpath", "-o", "word-count", "main.go"],
        cwd=tmp_path, env={**os.environ, "CGO_ENABLED": "0"}, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"PORT": str(port), "FUNCTION_NODE": "edge-1", "FUNCTION_REPLICA": "words-1"}
    measures = {"distinct words": {"path": "$.distinct", "better": "higher"}}
    workload = make("http", {"share": ["texts"], "reply": {"measures": measures}}, Dataset(["one two two"], ["a"]))
    process = subprocess.Popen([tmp_path / "word-count"], env=environment)
    try:
        reply = workload.reply(_posted(port, workload.body([0])))
    finally:
        process.kill()
        process.wait()
    assert (reply.replica, reply.node, reply.qualities) == ("words-1", "edge-1", {"distinct words": 2.0})


def _posted(port: int, body: bytes) -> bytes:
    """Post a body as soon as somebody listens; return the body of the reply."""
    until = time.monotonic() + DEADLINE_S
    head = f"POST / HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
                connection.sendall(head + body)
                content = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        except ConnectionRefusedError:
            assert time.monotonic() < until, "the function did not begin to listen"
            time.sleep(0.05)
        else:
            assert b"200 OK" in content.split(b"\r\n", 1)[0], content
            return content.partition(b"\r\n\r\n")[2]
