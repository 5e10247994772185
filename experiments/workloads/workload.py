"""What every workload does: make bodies from the data, read replies, finish a repetition. Shipped to the base station.

A workload is a module beside this one and a line in ``WORKLOADS``; nothing else knows its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, NamedTuple, TypeVar, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager, ExitStack
    from pathlib import Path

    from collect.records import Quality, RequestRecord
    from experiments.workloads.data import Cut, Dataset

# A replica or a node, as a record holds it.
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
S = TypeVar("S", bound=msgspec.Struct)
T = TypeVar("T")


class SettingsError(ValueError):
    """A scenario asks a workload for what it does not have; the message names the scenario's key."""


class ReplyError(ValueError):
    """A reply with an expected status that the workload cannot use; the message is a sentence for the record."""


class DataError(ValueError):
    """The function would refuse its share of a repetition's data; the message is a sentence."""


class WorkloadError(Exception):
    """A repetition cannot be finished, nor any other after it; the message says why."""


class Draw(NamedTuple):
    """Which of the bodies that differ a request has: the repetition's ``seed``, and the request's ``turn`` in it."""

    seed: str
    turn: int


FIRST = Draw("", 0)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a reply puts on record; ``None`` where the function does not say. ``qualities`` are by their measures."""

    replica: str | None = None
    node: str | None = None
    parameters: dict[str, Any] | None = None
    accuracy_validation: float | None = None
    accuracy_function: float | None = None
    qualities: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Split:
    """Rows that a model is trained on, and rows on which it is then scored."""

    training: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Splits:
    """How a repetition's data is split: on the base station for the accuracy that counts, and within each request."""

    base_station: Split
    function: tuple[Split, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the base station made of a repetition's replies, for its record; ``error`` is a sentence."""

    chosen: RequestRecord | None = None
    parameters: dict[str, Any] | None = None
    accuracy_test: float | None = None
    fit_ms: float | None = None
    error: str | None = None
    qualities: tuple[Quality, ...] = ()


class Shared:
    """What the workloads of one driver share: each is opened once, whichever scenario needs it first."""

    def __init__(self, dataset: Path, stack: ExitStack) -> None:
        self._dataset = dataset
        self._stack = stack
        self._opened: dict[object, object] = {}

    def once(self, factory: Callable[[Path], AbstractContextManager[T]]) -> T:
        """Return what the factory makes of the data set's path; it lives until the driver ends."""
        if factory not in self._opened:
            self._opened[factory] = self._stack.enter_context(factory(self._dataset))
        return cast("T", self._opened[factory])


class Workload(ABC, Generic[S]):
    """What the requests of a scenario are, and what is done with the replies; one instance a scenario."""

    name: ClassVar[str]
    # The type of the settings: a frozen msgspec structure with forbid_unknown_fields.
    settings_type: type[S]
    # How many rounds of requests `check` may take until every replica has answered one.
    check_rounds: ClassVar[int] = 1
    # Whether the requests of each repetition have to be served by a replica each: one that they share would be measured
    # one request after the other.
    replica_each: ClassVar[bool] = True
    # Whether a body can be of any size.
    is_sized: ClassVar[bool] = False

    def __init__(self, settings: S, data: Dataset) -> None:
        self.settings = settings
        self.data = data

    @classmethod
    def resolve(cls, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Return the settings with the files that they name read in; paths start at the scenario's folder.

        Raises:
            SettingsError: a file cannot be read.
        """
        del folder
        return settings

    @classmethod
    def check(cls, settings: S) -> None:
        """Refuse on the controller what would fail on the nodes.

        Raises:
            SettingsError: a setting that the function does not have.
        """

    def splits(self, cut: Cut) -> Splits | None:
        """Return which rows train and which test in a repetition, or ``None`` if nothing is trained.

        Asked on the controller, before a run is begun.

        Raises:
            DataError: the function would refuse a request with these rows.
        """
        del cut
        return None

    @property
    def content_type(self) -> str:
        """The type of all bodies, for the header of that name."""
        return "application/json"

    @property
    def statuses(self) -> tuple[int, ...]:
        """The statuses of replies that are a success."""
        return (200,)

    def different(self, kind: str | None = None) -> int:
        """Return how many different bodies of the same rows the requests of a kind take in turn."""
        del kind
        return 1

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of the measures of which each repetition has a value: how good the replies are."""
        return ()

    @property
    def kinds(self) -> dict[str, float]:
        """The kinds of requests that there are, with their weights; none where all are alike."""
        return {}

    def open(self, shared: Shared) -> None:
        """Start what finishing needs, before the first request is sent."""

    @abstractmethod
    def body(
        self, rows: Sequence[int], kind: str | None = None, body_bytes: int | None = None, draw: Draw = FIRST
    ) -> bytes:
        """Return the body of a request with these rows of the data set.

        Args:
            rows: which texts and labels.
            kind: one of `kinds`.
            body_bytes: its size, where `is_sized`.
            draw: which of those that are `different`.
        """

    def texts(self, rows: Sequence[int], kind: str | None = None, body_bytes: int | None = None) -> int:
        """Return how many texts the `body` of such a request holds."""
        del kind, body_bytes
        return len(rows)

    @abstractmethod
    def probe(self) -> bytes:
        """Return the body of the requests that are sent, all the same, to see which replicas answer."""

    @abstractmethod
    def reply(self, body: bytes) -> Reply:
        """Read the body of a reply with one of `statuses`.

        Raises:
            ReplyError: it is not what the function replies.
        """

    def best(self, requests: Sequence[RequestRecord]) -> RequestRecord:
        """Return the request with the best reply: that of the best validation accuracy, or the first one."""
        return max(requests, key=lambda request: request.accuracy_validation or 0.0)

    @abstractmethod
    def finish(self, cut: Cut, requests: Sequence[RequestRecord], seed: int) -> Outcome:
        """Do on the base station what follows a repetition whose requests were all answered.

        Raises:
            WorkloadError: no further repetition can be finished either.
        """
