from __future__ import annotations

import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

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
