"""Ansible callback: after a playbook, the ten tasks that took longest."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: where_time_went
type: aggregate
short_description: Print which tasks of a playbook took longest
description:
  - A task lasts until the next one begins, so the figures add up to what a user waited. Playbooks of less than ten
    seconds print nothing.
"""

COUNT = 10
SHORTEST_S = 10
HEADING = "Where the time went"


class CallbackModule(CallbackBase):
    """Counts from each task's start to the next one's."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "where_time_went"

    def __init__(self) -> None:
        super().__init__()
        self._begun = self._since = time.monotonic()
        self._task = ""
        self._lasted: dict[str, float] = {}

    def _lap(self, task: str) -> None:
        now = time.monotonic()
        self._lasted[self._task] = self._lasted.get(self._task, 0) + now - self._since
        self._task, self._since = task, now

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Begin a task."""
        del is_conditional
        self._lap(task.get_name())

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Begin a handler."""
        self._lap(task.get_name())

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """End the last task and print which took longest."""
        del stats
        self._lap("")
        total = self._since - self._begun
        if total < SHORTEST_S:
            return
        longest = sorted(((lasted, task) for task, lasted in self._lasted.items() if task), reverse=True)[:COUNT]
        self._display.display(f"{HEADING} ({total:.1f} s):")
        for lasted, task in longest:
            self._display.display(f"{lasted:7.1f} s  {task}")
