"""The checks of Knative's gateways ask the gateways themselves: a proxy that the node is told of is never asked."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from loopback import serving
from testbed import ROOT, run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

TASKS = ROOT / "roles" / "knative" / "tasks"


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """A server that answers whatever it is asked with one status; its port, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Leave the test's output alone."""

    with serving(Handler) as port:
        yield port, asked


def checks(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tasks that ask a gateway, also those within blocks."""
    found = [task for task in tasks if "ansible.builtin.uri" in task]
    return found + [one for task in tasks for one in checks(task.get("block", []))]


def played(folder: Path, check: dict[str, Any], gateway: int, proxy: int) -> subprocess.CompletedProcess[str]:
    """Carry out a check on a node whose environment names a proxy for everything."""
    variables = {
        "data_address": "127.0.0.1", "knative_gateway_nodes": ["node"], "knative_http_nodeport": gateway,
        "knative_domain": "faasbed.local", "knative_probe_name": "probe", "knative_probe_host": "node",
        "knative_wait_s": 1, "ansible_connection": "local", "ansible_python_interpreter": sys.executable,
    }  # fmt: skip
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"node": variables}}}))
    play = {
        "hosts": "all", "gather_facts": False, "tasks": [check | {"retries": 1}],
        "environment": {"http_proxy": f"http://127.0.0.1:{proxy}", "no_proxy": ""},
    }  # fmt: skip
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    return run([program, "-i", str(folder / "hosts.yml"), str(folder / "play.yml")], cwd=ROOT, env={**os.environ})


@pytest.mark.parametrize(("tasks", "status"), [("ready", 404), ("probe", 200)])
def test_a_gateway_is_asked_without_the_nodes_proxy(tmp_path: Path, tasks: str, status: int) -> None:
    (check,) = checks(yaml.safe_load((TASKS / f"{tasks}.yml").read_text("utf-8")))
    with answering(status) as (proxy, asked), answering(500) as (broken, refused), answering(status) as (good, taken):
        wrong = played(tmp_path, check, broken, proxy)
        assert wrong.returncode == 2, "what a proxy answers is not the gateway's answer"
        assert "Status code was 500" in wrong.stdout
        right = played(tmp_path, check, good, proxy)
        assert right.returncode == 0, right.stdout
    assert asked == []
    assert set(refused) == set(taken) == {"/"}
