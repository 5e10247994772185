"""After a playbook a user reads where the time went."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

PLUGIN = Path(__file__).resolve().parents[2] / "playbooks/callback_plugins/where_time_went.py"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The plugin, a clock that a test turns, and the lines that it says."""
    spec = importlib.util.spec_from_file_location("where_time_went", PLUGIN)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    world = SimpleNamespace(now=0.0, lines=[])
    monkeypatch.setattr(module.time, "monotonic", lambda: world.now)
    world.callback = module.CallbackModule()
    world.callback._display = SimpleNamespace(display=world.lines.append)
    return world


def tasks(world: SimpleNamespace, *lasted: tuple[str, float]) -> list[str]:
    for name, seconds in lasted:
        world.callback.v2_playbook_on_task_start(SimpleNamespace(get_name=lambda name=name: name), is_conditional=False)
        world.now += seconds
    world.callback.v2_playbook_on_stats(None)
    lines: list[str] = world.lines
    return lines


def test_the_longest_stand_first_and_a_task_that_came_twice_counts_twice(plugin: SimpleNamespace) -> None:
    assert tasks(plugin, ("copy", 4.0), ("start", 7.5), ("copy", 5.0)) == [
        "Where the time went (16.5 s):",
        "    9.0 s  copy",
        "    7.5 s  start",
    ]


def test_ten_are_enough(plugin: SimpleNamespace) -> None:
    lines = tasks(plugin, *((f"task {number}", 2.0 + number) for number in range(12)))
    assert len(lines) == 1 + 10
    assert lines[1].endswith("task 11")


def test_a_short_playbook_says_nothing(plugin: SimpleNamespace) -> None:
    assert tasks(plugin, ("copy", 9.9)) == []
