"""The root of the errors that a user can meet, and those of inventories and playbooks."""

from __future__ import annotations


class FaasbedError(Exception):
    """Something the user can put right; its text is one or two lines for the terminal."""

    exit_code = 2


class InventoryError(FaasbedError):
    """An inventory that is missing or lacks nodes or variables."""


class LockError(FaasbedError):
    """Another run uses the inventory, or the lock cannot be made."""


class PlaybookError(FaasbedError):
    """A playbook failed; the text is the failed task's own."""

    exit_code = 1


class UnreachableError(PlaybookError):
    """A node did not answer over SSH."""
