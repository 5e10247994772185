"""The errors of an experiment that a user can meet: each says what, where and what to do, and carries an exit code."""

from __future__ import annotations

from collect.exit_codes import UNMET
from nodes.errors import FaasbedError

__all__ = ["ExpectationError", "FaasbedError", "LostNodesError", "RunError", "SpecError"]


class SpecError(FaasbedError):
    """A scenario file that is not one, or that this inventory cannot hold."""


class RunError(FaasbedError):
    """A step of a run failed; what was measured before it is kept."""

    exit_code = 1


class ExpectationError(FaasbedError):
    """The run is complete, and a threshold that its scenario file expects is not met."""

    exit_code = UNMET


class LostNodesError(RunError):
    """Nodes were lost while they were measured; with them the run goes on when they are back.

    Args:
        message: the driver's.
        nodes: which.
        finished: how many repetitions were on record then.
    """

    def __init__(self, message: str, nodes: tuple[str, ...], finished: int) -> None:
        super().__init__(message)
        self.nodes = nodes
        self.finished = finished
