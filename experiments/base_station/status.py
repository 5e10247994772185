"""Where a measurement stands: ``status.json`` in the run's folder, which the driver writes and everybody reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from experiments.base_station.errors import DriverError

if TYPE_CHECKING:
    from pathlib import Path

    from collect.records import ModelRecord


class Last(msgspec.Struct, frozen=True):
    """The repetition that was finished last."""

    scenario: str
    repetition: int
    warmup: bool
    response_time_ms: float | None
    accuracy_test: float | None
    error: str | None


class Status(msgspec.Struct, frozen=True):
    """The state is starting, running, done or failed; then ``error`` says why, and ``lost`` which nodes were lost."""

    state: str
    finished: int = 0
    total: int = 0
    last: Last | None = None
    error: str | None = None
    lost: tuple[str, ...] = ()

    @property
    def is_alive(self) -> bool:
        """Whether a driver has to be there."""
        return self.state in ("starting", "running")


def last(record: ModelRecord) -> Last:
    """Return what the status says of a repetition's record."""
    return Last(
        record.scenario,
        record.repetition,
        record.warmup,
        record.response_time_ms,
        record.accuracy_test,
        record.error,
    )


def write(folder: Path, status: Status) -> None:
    """Replace the status in one step, so that a reader never sees half of it."""
    partial = folder / "status.json.part"
    partial.write_bytes(msgspec.json.encode(status))
    partial.replace(folder / "status.json")


def read(folder: Path) -> Status:
    """Return the status.

    Raises:
        DriverError: no driver was started in this folder.
    """
    path = folder / "status.json"
    if not path.exists():
        raise DriverError("no driver was started here")
    return msgspec.json.decode(path.read_bytes(), type=Status)
