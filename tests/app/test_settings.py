from __future__ import annotations

import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from app.search.memory import most_bytes
from app.serving.served import load
from app.serving.settings import DOCUMENTATION, SettingsError, read_settings
from app.versions import VERSION, versions

if TYPE_CHECKING:
    from pathlib import Path


def test_without_settings_it_listens_on_the_loopback_only():
    settings = read_settings({})
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)


def test_settings_come_from_the_environment():
    settings = read_settings({"FUNCTION_PORT": "9000", "FUNCTION_NODE": "edge-2", "FUNCTION_MAX_BODY_BYTES": "1000"})
    assert (settings.port, settings.node, settings.max_body_bytes) == (9000, "edge-2", 1000)


def test_a_body_may_be_as_large_as_fits_into_the_memory_many_times():
    assert read_settings({}, 512 << 20).max_body_bytes == 16 << 20
    assert read_settings({}, 64 << 30).max_body_bytes == read_settings({}).max_body_bytes == 64 << 20


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/kube/pod\n", {"memory.max": "max"}, 8 << 30),
        ("0::/kube/pod\n", {"memory.max": str(2 << 30)}, 2 << 30),  # in a container: its own limit at the root
        ("0::/a/b\n", {"a/memory.max": str(1 << 30), "a/b/memory.max": "max"}, 1 << 30),
        ("5:cpu:/a\n4:memory:/a\n0::/a\n", {"memory/a/memory.limit_in_bytes": str(3 << 30)}, 3 << 30),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": str(2**63 - 4096)}, 8 << 30),
    ],
)
def test_the_memory_is_what_machine_and_cgroups_leave(
    tmp_path: Path, cgroup: str, files: dict[str, str], expected: int
):
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal:       {8 << 20} kB\nMemFree: 1 kB\n")
    (tmp_path / "proc" / "self" / "cgroup").write_text(cgroup)
    for name, text in files.items():
        path = tmp_path / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert most_bytes(tmp_path) == expected


def test_four_bodies_are_held_by_default():
    assert read_settings({"FUNCTION_MAX_BODY_BYTES": "1000"}).max_held_bytes == 4000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FUNCTION_PORT", "http"),
        ("FUNCTION_PORT", "65536"),
        ("FUNCTION_PORT", "-1"),
        ("FUNCTION_QUEUE_LIMIT", "1.5"),
        ("FUNCTION_MAX_BODY_BYTES", "0"),
        ("FUNCTION_MAX_HELD_BYTES", "10"),
        ("FUNCTION_READ_TIMEOUT_S", "0"),
        ("FUNCTION_READ_TIMEOUT_S", "nan"),
        ("FUNCTION_READ_TIMEOUT_S", "soon"),
        ("FUNCTION_REPLICA", "edge\n1"),
        ("FUNCTION_CLIENTS", "192.0.2.1, edge-1"),
        ("FUNCTION_NODE", "größe"),
    ],
)
def test_an_invalid_setting_is_refused_by_name(name: str, value: str):
    with pytest.raises(SettingsError, match=name):
        read_settings({name: value})


@pytest.mark.parametrize(("module", "word"), [("app.nowhere", "no module"), ("app.errors", "has no 'Request'")])
def test_a_module_that_is_no_function_is_refused(module: str, word: str):
    with pytest.raises(SettingsError, match=word):
        load(module)


def test_the_version_is_the_projects(root: Path):
    assert tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"] == VERSION
    assert {"python", "faasbed", "numpy", "scikit-learn"} <= versions().keys()


def test_help_names_every_setting(root: Path):
    shown = subprocess.run(
        [sys.executable, "-m", "app", "--help"], cwd=root, capture_output=True, text=True, check=True
    )
    assert all(name in shown.stdout for name in DOCUMENTATION)


def test_a_wrong_setting_ends_the_program_with_one_line_and_status_2(root: Path):
    environment = {"FUNCTION_PORT": "many"}
    ended = subprocess.run(
        [sys.executable, "-m", "app"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr == "python -m app: invalid FUNCTION_PORT 'many': expected an integer from 0 to 65535\n"
