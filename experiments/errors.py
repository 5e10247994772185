"""The one tree of errors that a user can meet: each says what, where and what to do, and carries an exit code."""

from __future__ import annotations


class FaasbedError(Exception):
    """Something the user can put right; its text is one or two lines for the terminal."""

    exit_code = 2


class SpecError(FaasbedError):
    """A scenario file that is not one, or that this inventory cannot hold."""


class InventoryError(FaasbedError):
    """An inventory that is missing or lacks nodes or variables."""


class RunError(FaasbedError):
    """A step of a run failed; what was measured before it is kept."""

    exit_code = 1
