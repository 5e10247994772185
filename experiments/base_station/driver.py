"""The load driver: fires the plan from the base station, one repetition after the other. Shipped to the base station.

It needs its own folder only: the plan, the data set, and the raw records, which it reads first, so that a driver that
was cut off goes on where it stopped and measures nothing twice.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from collect import records
from collect.records import ModelRecord, RequestRecord
from experiments.base_station.exchange import Exchange, fire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType


class DriverError(Exception):
    """The driver cannot go on; the text says what, where and what to do."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A repetition's data: indices into the data set."""

    test: tuple[int, ...]
    training: tuple[tuple[int, ...], ...]


def cut(split: list[int], test_share: float, training_shares: Iterable[float]) -> Cut:
    """Cut a permutation into a test set and one training set a request, each share rounded to whole texts."""
    bounds = [0.0, test_share]
    for share in training_shares:
        bounds.append(bounds[-1] + share)
    edges = [round(len(split) * bound) for bound in bounds]
    parts = [tuple(split[start:end]) for start, end in pairwise(edges)]
    return Cut(parts[0], tuple(parts[1:]))


def body(texts: list[str], labels: list[str], rows: tuple[int, ...], scenario: dict[str, Any]) -> bytes:
    """Return the request body in the peer's form: texts and labels by their position, the model, the options."""
    return json.dumps(
        {
            "x_dict": {str(position): texts[row] for position, row in enumerate(rows)},
            "y_dict": {str(position): labels[row] for position, row in enumerate(rows)},
            "model": scenario["model"],
            **scenario["options"],
        },
        separators=(",", ":"),
    ).encode()


class Trainer:
    """The base station's own training, in a process of its own that loads the data set once."""

    def __init__(self, dataset: Path) -> None:
        command = [sys.executable, "-m", "app.evaluate", "--dataset", str(dataset)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def __enter__(self) -> Self:
        """Return itself, ready for orders."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process by closing its input."""
        self._process.communicate()

    def train(self, order: dict[str, Any]) -> dict[str, Any]:
        """Train with given parameters and score; the order and the answer are those of ``app.evaluate``."""
        if self._process.stdin is None:
            raise DriverError("the base station's trainer has no standard input")
        with suppress(BrokenPipeError):  # it ended: there will be no answer, which says so
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise DriverError(f"the base station's trainer ended with code {self._process.wait()}; see driver.log")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Driver:
    """Measures what a plan asks for and is not yet on record."""

    def __init__(self, plan: dict[str, Any], dataset: Path, samples: Path, base_station: str) -> None:
        data = json.loads(dataset.read_text(encoding="utf-8"))
        self._plan = plan
        self._dataset = dataset
        self._texts: list[str] = data["x"]
        self._labels: list[str] = data["y"]
        self._samples = samples
        self._base_station = base_station
        self._attempts: Counter[tuple[str, int, bool]] = Counter()
        self._finished: set[tuple[str, int, bool]] = set()
        # requests of a repetition that came back, whose model was never made
        self._orphans: dict[tuple[str, int, bool], list[RequestRecord]] = {}
        # replicas that answered before: what a new one answers first is a cold start
        self._replicas: set[str] = set()
        self._read_records()
        # when each scenario's last request ended, on this process's clock
        self._last_asked_s: dict[str, float] = {}

    @property
    def total(self) -> int:
        """How many repetitions the plan has, warm-ups included."""
        return len(self._plan["order"])

    @property
    def finished(self) -> int:
        """How many of them are on record."""
        return sum(_key(entry) in self._finished for entry in self._plan["order"])

    def run(self, report: Callable[[ModelRecord], None]) -> None:
        """Measure every repetition that is not on record; ``report(record)`` hears of each one.

        Raises:
            DriverError: the base station's own trainer died.
            OSError: the records cannot be written, for example because the disk is full.
        """
        with Trainer(self._dataset) as trainer:
            for entry in self._plan["order"]:
                if _key(entry) in self._finished:
                    continue
                scenario = self._plan["scenarios"][entry["scenario"]]
                pieces = cut(
                    self._plan["splits"][entry["repetition"]], scenario["test_share"], scenario["training_shares"]
                )
                requests = self._orphans.get(_key(entry)) or self._measure(entry, scenario, pieces)
                model = self._train(entry, scenario, pieces, requests, trainer)
                records.append(self._samples, [model])
                self._finished.add(_key(entry))
                report(model)

    def _read_records(self) -> None:
        orphans: dict[tuple[str, int, bool], list[RequestRecord]] = {}
        for record in records.read(self._samples) if self._samples.exists() else ():
            key = (record.scenario, record.repetition, record.warmup)
            self._attempts[key] = record.attempt + 1
            if isinstance(record, ModelRecord):
                self._finished.add(key)
                orphans.pop(key, None)
            else:
                self._replicas |= {record.replica} if record.replica else set()
                others = orphans.get(key, [])
                # Only requests that were sent together make a repetition: those of a torn attempt stand alone.
                orphans[key] = [*(one for one in others if one.attempt == record.attempt), record]
        self._orphans = {key: found for key, found in orphans.items() if len(found) == self._parallel(key[0])}

    def _parallel(self, scenario: str) -> int:
        return len(self._plan["scenarios"][scenario]["training_shares"])

    def _measure(self, entry: dict[str, Any], scenario: dict[str, Any], pieces: Cut) -> list[RequestRecord]:
        bodies = [body(self._texts, self._labels, rows, scenario) for rows in pieces.training]
        self._leave_alone(entry["scenario"], scenario.get("idle_s", 0))
        started_at = datetime.now(UTC).isoformat()
        intended_ns = time.monotonic_ns()
        exchanges = fire(
            scenario["url"],
            scenario["host"],
            bodies,
            congestion_control=scenario["congestion_control"],
            timeout_s=scenario["timeout_s"],
        )
        found = [
            self._record(
                entry, index, exchange, len(bodies[index]), len(pieces.training[index]), started_at, intended_ns
            )
            for index, exchange in enumerate(exchanges)
        ]
        records.append(self._samples, found)
        self._replicas |= {record.replica for record in found if record.replica}
        self._last_asked_s[entry["scenario"]] = time.monotonic()
        return found

    def _leave_alone(self, scenario: str, idle_s: float) -> None:
        """Ask nothing of a scenario's function for so long: what it does meanwhile is what is measured next."""
        until_s = self._last_asked_s.get(scenario, time.monotonic()) + idle_s
        time.sleep(max(0.0, until_s - time.monotonic()))

    def _record(
        self, entry: dict[str, Any], index: int, exchange: Exchange, size: int, texts: int, at: str, intended_ns: int
    ) -> RequestRecord:
        reply = _reply(exchange)
        return RequestRecord(
            run=self._plan["run"],
            scenario=entry["scenario"],
            base_station=self._base_station,
            block=entry["block"],
            repetition=entry["repetition"],
            request=index,
            attempt=self._attempts[_key(entry)],
            warmup=entry["warmup"],
            started_at=at,
            intended_ns=intended_ns,
            sent_ns=exchange.sent_ns,
            connected_ns=exchange.connected_ns,
            uploaded_ns=exchange.uploaded_ns,
            first_byte_ns=exchange.first_byte_ns,
            last_byte_ns=exchange.last_byte_ns,
            request_bytes=size,
            response_bytes=len(exchange.body),
            status=exchange.status,
            error=exchange.error,
            congestion_control=exchange.congestion_control,
            replica=reply.get("replica"),
            node=reply.get("node"),
            cold=reply.get("replica") is not None and reply["replica"] not in self._replicas,
            texts=texts,
            parameters=reply.get("best parameters"),
            accuracy_validation=reply.get("accuracy (validation)"),
            accuracy_function=reply.get("accuracy (test)"),
            phases_ms=server_timing(exchange.headers.get("server-timing", "")),
        )

    def _train(
        self,
        entry: dict[str, Any],
        scenario: dict[str, Any],
        pieces: Cut,
        requests: list[RequestRecord],
        trainer: Trainer,
    ) -> ModelRecord:
        training = [row for rows in pieces.training for row in rows]
        error = next((request.error for request in requests if request.error), None)
        chosen = max(requests, key=lambda request: request.accuracy_validation or 0.0)
        answer: dict[str, Any] = {}
        if error is None:
            order = {
                "train": training,
                "test": list(pieces.test),
                "model": scenario["model"],
                "parameters": chosen.parameters,
                "seed": self._plan["seed"] % 2**32,
            }
            answer = trainer.train(order)
            error = answer.get("error")
        return ModelRecord(
            run=self._plan["run"],
            scenario=entry["scenario"],
            base_station=self._base_station,
            block=entry["block"],
            repetition=entry["repetition"],
            attempt=chosen.attempt,
            warmup=entry["warmup"],
            response_time_ms=_response_time_ms(requests),
            chosen_request=chosen.request if error is None else None,
            parameters=chosen.parameters,
            accuracy_test=answer.get("accuracy (test)"),
            fit_ms=answer.get("fit_ms"),
            training_texts=len(training),
            test_texts=len(pieces.test),
            error=error,
        )


def server_timing(header: str) -> dict[str, float]:
    """Return the durations of a ``Server-Timing`` header in milliseconds (W3C Server Timing, ``name;dur=1.5``)."""
    phases = {}
    for entry in header.split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "dur":
                phases[name] = float(value)
    return phases


def _reply(exchange: Exchange) -> dict[str, Any]:
    if exchange.error is not None:
        return {}
    try:
        reply = json.loads(exchange.body)
    except ValueError:
        reply = None
    if not isinstance(reply, dict) or "best parameters" not in reply:
        exchange.error = "the function's reply is not what it should be (no best parameters): another service answered?"
        return {}
    return reply


def _response_time_ms(requests: list[RequestRecord]) -> float | None:
    sent = [request.sent_ns for request in requests if request.sent_ns is not None]
    last = [request.last_byte_ns for request in requests if request.last_byte_ns is not None]
    if len(last) != len(requests) or not sent:
        return None
    return (max(last) - min(sent)) / 1e6


def _key(entry: dict[str, Any]) -> tuple[str, int, bool]:
    return entry["scenario"], entry["repetition"], entry["warmup"]
