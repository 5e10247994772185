"""What a run has on record, so that a driver that was cut off resumes and measures nothing twice."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from collect import records
from collect.records import ChangeRecord, ModelRecord, NetworkRecord, Record, RequestRecord
from experiments.base_station.errors import DriverError
from experiments.base_station.plan import Key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from experiments.base_station.plan import Plan


class History:
    """The records of a run, read once and then appended to.

    Args:
        samples: the record file; it need not exist.
        plan: what is measured, and has to be what the records were measured by; none where nothing is to be finished.

    Raises:
        RecordError: a line of the file is damaged. DriverError: the records are those of another plan.
    """

    def __init__(self, samples: Path, plan: Plan | None = None) -> None:
        self._samples = samples
        self._attempts: Counter[Key] = Counter()
        self._finished: set[Key] = set()
        # The number of the attempt, of this base station's, that all base stations' replies belong to.
        self._of_all: dict[Key, int] = {}
        self._answered: dict[Key, list[RequestRecord]] = {}
        self._replicas: set[str] = set()
        self._warmups_s: dict[str, float] = {}
        expected = plan and plan.hash
        for record in records.read(samples) if samples.exists() else ():
            if record.plan not in (None, expected or record.plan):
                raise DriverError(
                    f"{samples} holds records of plan {record.plan}, but plan.json is plan {expected}: it was altered "
                    "since the run began; restore it, or begin a new run"
                )
            self._read(record)
        # Only requests that were sent together make a repetition: those of a torn attempt do not count.
        self._answered = {
            key: requests
            for key, requests in self._answered.items()
            if plan is not None and len(requests) == requests[0].requests
        }

    def is_finished(self, key: Key) -> bool:
        """Return whether a repetition is on record to its end, over links that held."""
        return key in self._finished

    def is_of_all(self, key: Key) -> bool:
        """Return whether it is on record what all replies to a repetition's newest attempt came to."""
        return self._of_all.get(key) == self._attempts[key] - 1

    def attempt(self, key: Key) -> int:
        """Return the number of the next attempt at a repetition, from 0."""
        return self._attempts[key]

    def requests(self, key: Key) -> list[RequestRecord]:
        """Return the requests of a repetition that is to be finished; none where it is to be measured."""
        return self._answered.get(key, [])

    def is_cold(self, replica: str | None) -> bool:
        """Return whether a replica has answered for the first time: it was started for this request."""
        return replica is not None and replica not in self._replicas

    def longest_warmup_s(self, scenario: str) -> float | None:
        """Return how long the longest answer to a warm-up of a scenario took in seconds; None where there is none."""
        return self._warmups_s.get(scenario)

    def append(self, new: Sequence[Record]) -> None:
        """Append records to the file and count them in.

        Raises:
            OSError: they cannot be written, for example because the disk is full.
        """
        records.append(self._samples, new)
        for record in new:
            self._read(record)

    def _read(self, record: Record) -> None:
        key = Key(record.scenario, record.repetition, record.warmup)
        if isinstance(record, NetworkRecord):
            self._of_all[key] = record.attempt
            return
        if isinstance(record, ChangeRecord):  # of an attempt whose requests are on record, too
            return
        self._attempts[key] = record.attempt + 1
        if isinstance(record, ModelRecord):
            requests = self._answered.pop(key, [])
            # What was sent over links that did not hold to its end is measured again.
            if record.links is not None or all(request.links is None for request in requests):
                self._finished.add(key)
        else:
            self._replicas |= {record.replica} if record.replica else set()
            if record.warmup and not record.error and record.sent_ns and record.last_byte_ns:
                took_s = (record.last_byte_ns - record.sent_ns) / 1e9
                self._warmups_s[record.scenario] = max(took_s, self._warmups_s.get(record.scenario, 0.0))
            others = self._answered.get(key, [])
            self._answered[key] = [*(other for other in others if other.attempt == record.attempt), record]
