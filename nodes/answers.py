"""What the roles of a playbook answered: data set by ``ansible.builtin.set_stats``, never the titles of tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nodes.errors import PlaybookError


class AnswerError(PlaybookError):
    """A playbook ended well but left out an answer that was expected of it."""


@dataclass(frozen=True, slots=True)
class Answers(Mapping[str, dict[str, Any]]):
    """The answers of one playbook: for each key a value by host.

    A role answers with ``set_stats`` of ``{key: {inventory_hostname: value}}``; Ansible merges the hosts.

    Attributes:
        playbook: its name.
        by_key: the value by key and host.
        changed: how many tasks changed something, over all hosts.
        unreachable: the hosts that did not answer where the playbook goes on without them, and why.
    """

    playbook: str
    by_key: Mapping[str, Any] = field(default_factory=dict)
    changed: int = 0
    unreachable: Mapping[str, PlaybookError] = field(default_factory=dict)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return each host's value.

        Raises:
            AnswerError: no role of the playbook set this key, or not to a value by host.
        """
        if key not in self.by_key:
            raise AnswerError(
                f"playbook {self.playbook} did not answer {key}: expected a task with ansible.builtin.set_stats that "
                "sets it, in one of its roles"
            )
        by_host = self.by_key[key]
        if not isinstance(by_host, dict):
            raise AnswerError(
                f"playbook {self.playbook} answered {key} with {type(by_host).__name__}: expected a value by host, "
                "as set_stats of {key: {inventory_hostname: value}} leaves it"
            )
        return by_host

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self.by_key)

    def __len__(self) -> int:
        """Return how many keys there are."""
        return len(self.by_key)
