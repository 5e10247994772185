"""The command by which a cluster's nodes leave and join, with a kubectl that keeps what it is asked."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from jinja2 import Environment, StrictUndefined
from testbed import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = ROOT / "roles" / "function" / "templates" / "node-of-cluster.sh.j2"


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The command; what it asks stands in ``asked``, a line each."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n', "utf-8")
    kubectl.chmod(0o755)
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701  # a shell script, no page
    environment.filters["quote"] = shlex.quote
    program = tmp_path / "node"
    program.write_text(
        environment.from_string(TEMPLATE.read_text("utf-8")).render(
            function_dir=str(tmp_path),
            function_kubectl=[str(kubectl)],
            function_namespace="faasbed",
            function_ready_timeout_s=60,
        ),
        "utf-8",
    )
    return program


def does(node: Path, *words: str) -> list[str]:
    """What the command asks of the cluster."""
    asked = node.with_name("asked")
    asked.unlink(missing_ok=True)
    done = subprocess.run(["sh", str(node), *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split(" --")[0] for line in asked.read_text("utf-8").splitlines()] if asked.exists() else []


def test_a_node_leaves_and_joins_and_one_that_is_there_may_be_asked_again(node: Path) -> None:
    away = node.with_name("away")
    assert does(node, "leave", "edge-2") == ["drain edge-2"]
    assert [one.name for one in away.iterdir()] == ["edge-2"]
    for _ in range(2):
        assert does(node, "join", "edge-2")[0] == "uncordon edge-2"
        assert not away.exists()


def test_all_that_had_left_join_again(node: Path) -> None:
    for name in ("edge-2", "cloud-1"):
        does(node, "leave", name)
    does(node, "join", "cloud-1")
    does(node, "leave", "edge-3")
    assert does(node, "rejoin") == ["uncordon edge-2", "uncordon edge-3"]
    assert not node.with_name("away").exists()
