"""Stands where the user listens to a playbook: remembers what it hears."""

from __future__ import annotations

from typing import Any


class Heard:
    """The sentences, tasks and progress of playbooks."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.tasks: list[str] = []
        self.steps: list[tuple[str, dict[str, Any]]] = []

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def task(self, name: str) -> None:
        self.tasks.append(name)

    def progress(self, host: str, progress: dict[str, Any]) -> None:
        self.steps.append((host, progress))
