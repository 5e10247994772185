"""Stands where playbooks are run: remembers their names, and answers or fails as a test says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nodes.answers import Answers
from nodes.playbooks import Playbooks

if TYPE_CHECKING:
    from nodes.errors import PlaybookError


class Recorded(Playbooks):
    """Remembers the playbooks and their variables."""

    def __init__(self, error: PlaybookError | None = None, **answers: Any) -> None:
        self.names: list[str] = []
        self.warnings: list[str] = []
        self.variables: list[dict[str, Any]] = []
        self._error = error
        self._answers = answers

    def run(self, playbook: str, **variables: Any) -> Answers:
        self.names.append(playbook)
        self.variables.append(variables)
        if self._error:
            raise self._error
        return Answers(playbook, self._answers)
