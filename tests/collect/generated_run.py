"""Run folders for the tests, written by the real record classes. The numbers are drawn, not measured."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

from scipy import stats

from collect import records
from collect.records import ModelRecord, RequestRecord

if TYPE_CHECKING:
    from pathlib import Path

MS = 1_000_000
# How far apart requests are that are not sent together.
EVERY_MS = 10
RUN = "generated-numbers"
PLAN = "0123456789abcdef"


def request(**changes: Any) -> RequestRecord:
    """A request of scenario edge that took 0.5 s: 0.1 upload, 0.05 wait, 0.3 compute, 0.05 download."""
    values: dict[str, Any] = {
        "run": RUN,
        "plan": PLAN,
        "scenario": "edge",
        "base_station": "bs",
        "block": 1,
        "repetition": 1,
        "request": 0,
        "attempt": 1,
        "warmup": False,
        "started_at": "2026-11-24T04:00:00+00:00",
        "intended_ns": 0,
        "sent_ns": 1000 * MS,
        "connected_ns": 1003 * MS,
        "uploaded_ns": 1100 * MS,
        "first_byte_ns": 1450 * MS,
        "last_byte_ns": 1500 * MS,
        "request_bytes": 6_300_000,
        "response_bytes": 400,
        "status": 200,
        "error": None,
        "congestion_control": "cubic",
        "replica": "edge-1/0",
        "node": "edge-1",
        "cold": False,
        "texts": 1260,
        "parameters": {"C": 0.1, "loss": "hinge"},
        "accuracy_validation": 0.9,
        "accuracy_function": 0.91,
        "phases_ms": {"read": 80.0, "parse": 50.0, "vectorise": 100.0, "search": 140.0, "fit": 10.0},
    }
    return RequestRecord(**{**values, **changes})


def model(**changes: Any) -> ModelRecord:
    """The model record that belongs to ``request()``."""
    values: dict[str, Any] = {
        "run": RUN,
        "plan": PLAN,
        "scenario": "edge",
        "base_station": "bs",
        "block": 1,
        "repetition": 1,
        "attempt": 1,
        "warmup": False,
        "response_time_ms": 500.0,
        "chosen_request": 0,
        "parameters": {"C": 0.1, "loss": "hinge"},
        "accuracy_test": 0.92,
        "fit_ms": 12.0,
        "training_texts": 2520,
        "test_texts": 630,
        "error": None,
        "requests": 1,
    }
    return ModelRecord(**{**values, **changes})


def repetition(scenario: str, number: int, random: Random, *, accuracy: float, **changes: Any) -> list[records.Record]:
    """A repetition's records: two requests to two edge nodes, or one to the cloud, as Table I's links would have it."""
    edge = scenario != "cloud"
    requests = []
    for index in range(2 if edge else 1):
        upload = random.gauss(160, 20) if edge else random.gauss(900, 200)
        wait = random.gauss(20, 4) if edge else random.gauss(80, 10)
        own = random.gauss(1, 0.08) * (0.55 if edge else 1)
        spent = {"read": 60 * own, "parse": 120 * own, "vectorise": 380 * own, "search": 700 * own, "fit": 40 * own}
        compute = sum(spent.values()) - spent["read"]
        sent = 10_000 * MS * number + index * MS
        uploaded = sent + int(abs(upload) * MS)
        first = uploaded + int((abs(wait) + compute) * MS)
        requests.append(
            request(
                scenario=scenario,
                repetition=number,
                block=_block(scenario, number),
                request=index,
                sent_ns=sent,
                connected_ns=sent + 3 * MS,
                uploaded_ns=uploaded,
                first_byte_ns=first,
                last_byte_ns=first + MS,
                node=f"edge-{index + 1}" if edge else "cloud-1",
                replica=f"{'edge' if edge else 'cloud'}-{index + 1}/0",
                texts=1260 if edge else 2520,
                request_bytes=6_300_000 if edge else 12_600_000,
                phases_ms=spent,
                accuracy_validation=random.uniform(0.88, 0.93),
                **changes,
            )
        )
    response = (max(r.last_byte_ns or 0 for r in requests) - min(r.sent_ns or 0 for r in requests)) / MS
    done = model(
        scenario=scenario,
        repetition=number,
        block=_block(scenario, number),
        response_time_ms=response,
        chosen_request=max(requests, key=lambda r: r.accuracy_validation or 0).request,
        accuracy_test=accuracy,
        requests=len(requests),
        **changes,
    )
    return [*requests, done]


def arrived(
    scenario: str, repetition: int, times_ms: list[float], late_ms: float = 0, **changes: Any
) -> list[records.Record]:
    """A repetition of requests that were due every 10 ms and took so long from when each was due."""
    requests = [
        request(
            scenario=scenario,
            repetition=repetition,
            request=number,
            requests=len(times_ms),
            intended_ns=number * EVERY_MS * MS,
            sent_ns=int((number * EVERY_MS + late_ms) * MS),
            connected_ns=None,
            uploaded_ns=None,
            first_byte_ns=None,
            last_byte_ns=int((number * EVERY_MS + took_ms) * MS),
            phases_ms={},
            request_kind="small" if number % 2 else "large",
        )
        for number, took_ms in enumerate(times_ms)
    ]
    end = {
        "response_time_ms": records.median_request_ms(requests),
        "arrivals": "poisson",
        "requests": len(requests),
        "chosen_request": None,
        **changes,
    }
    return [*requests, model(scenario=scenario, repetition=repetition, **end)]


def _block(scenario: str, number: int) -> int:
    """The block of a repetition of scenarios that alternate, edge and cloud in pairs."""
    return max(0, 2 * number - (scenario != "cloud"))


def all_records(
    scenarios: tuple[str, ...] = ("edge", "cloud"), repetitions: int = 20, seed: int = 1
) -> list[records.Record]:
    """Every record of a run: a warm-up and the repetitions of each scenario, paired by their accuracy's split."""
    random = Random(seed)
    splits = [random.gauss(0.921, 0.009) for _ in range(repetitions + 1)]
    drawn: list[records.Record] = []
    for scenario in scenarios:
        drawn += repetition(scenario, 0, random, accuracy=0.92, warmup=True)
        for number in range(1, repetitions + 1):
            accuracy = round(630 * (splits[number] + random.gauss(0, 0.002))) / 630
            drawn += repetition(scenario, number, random, accuracy=accuracy)
    return drawn


def link_check(
    source: str, target: str, delay: float, jitter: float, loss: float, random: Random, *, ok: bool
) -> dict[str, Any]:
    """One entry of ``links/*.json`` in the words of the contract, from drawn delays."""
    delays = [random.gauss(delay + 0.05 + (0 if ok else 2 * jitter), jitter) for _ in range(400)]
    mean, sigma = sum(delays) / 400, stats.tstd(delays)
    low, high, bins = min(delays), max(delays), 30
    edges = [low + (high - low) * place / bins for place in range(bins + 1)]
    counts = [0] * bins
    for value in delays:
        counts[min(bins - 1, int((value - low) / (high - low) * bins))] += 1
    return {
        "link": {"source": source, "target": target, "shape": f"{delay:g} ms ± {jitter:g} ms, {loss:g} % loss"},
        "family": 4,
        "clock": "shared",
        "probes": {"sent": 401, "received": 400, "duplicated": 0, "stalled": 0},
        "path": {"baseline": {"median_ms": 0.05, "sigma_ms": 0.01}, "control": None, "compensated_ms": None},
        "delay": {
            "mean_ms": mean,
            "mean_low_ms": mean - 2 * sigma / 20,
            "mean_high_ms": mean + 2 * sigma / 20,
            "sigma_ms": sigma,
            "sigma_low_ms": sigma * 0.93,
            "sigma_high_ms": sigma * 1.07,
        },
        "expected": {"median_ms": delay, "sigma_ms": jitter},
        "loss": {"count": 1, "percent": 100 / 401, "low_percent": 0.006, "high_percent": 1.38},
        "reordered": {"count": 40, "percent": 10, "low_percent": 7.2, "high_percent": 13.4},
        "histogram": {"edges_ms": edges, "counts": counts},
        "ok": ok,
        "problems": [] if ok else [f"jitter {sigma:.2f} ms, expected {jitter} ms"],
    }


def links(seed: int, *, trouble: bool = False) -> dict[str, Any]:
    """A whole ``links/before.json`` with Table I's links."""
    random = Random(seed)
    edge = [
        ("bs", "edge-1"),
        ("edge-1", "bs"),
        ("bs", "edge-2"),
        ("edge-2", "bs"),
        ("edge-1", "edge-2"),
        ("edge-2", "edge-1"),
    ]
    checks = [link_check(a, b, 1.25, 0.25, 0.02, random, ok=True) for a, b in edge]
    checks.append(link_check("bs", "cloud-1", 15, 3, 0.24, random, ok=True))
    checks.append(link_check("cloud-1", "bs", 15, 3, 0.24, random, ok=not trouble))
    return {"schema": 2, "taken_at": "2026-11-24T04:00:00+00:00", "backend": "emulator", "links": checks}


MANIFEST = {
    "warnings": [
        "2 cores for 3 compute nodes: the nodes share cores.",
        "These numbers are <drawn>, not measured & kept.",
    ],
    "inventory": "local",
    "seed": 6,
    "versions": {"python": "3.11.7", "scikit-learn": "1.9.1", "ansible-core": "2.20.0"},
    "dataset": {"name": "synthetic", "texts": 3150, "labels": ["FAKE", "REAL"], "sha256": "ab" * 32},
    "nodes": {
        "edge-1": {"cores": [0], "cpu model": "Test CPU", "memory_gib": 24.0},
        "cloud-1": {"cores": [1], "cpu model": "Test CPU", "memory_gib": 24.0},
    },
    "backend": "emulator",
    "tc": "qdisc htb 1: root\n qdisc netem 10: parent 1:10",
    "kvm": False,
    "nothing": None,
    "packages": [{"name": "envoy", "version": "1.36"}, {"name": "iproute2", "version": "6.1"}],
    "git": {"commit": "0123456789abcdef", "dirty": True},
}


def write_run(
    results: Path, samples: list[records.Record], name: str = RUN, *, whole: bool = True, trouble: bool = False
) -> Path:
    """Write a run's folder; ``whole`` adds what is optional, with ``trouble`` a link is off after measuring."""
    folder = results / name
    (folder / "raw").mkdir(parents=True)
    records.append(folder / "raw" / "samples.jsonl", samples)
    if whole:
        (folder / "links").mkdir()
        (folder / "links" / "before.json").write_text(json.dumps(links(1)))
        (folder / "links" / "after.json").write_text(json.dumps(links(2, trouble=trouble)))
        (folder / "scenario.yaml").write_text("name: paper\nscenarios:\n  - name: edge\n  - name: cloud\n")
        (folder / "manifest.json").write_text(json.dumps(MANIFEST))
        (folder / "steps.json").write_text(json.dumps([{"step": "Shape the links", "seconds": 1.2, "status": "done"}]))
    return folder


def second(at_s: float, **changes: Any) -> dict[str, Any]:
    """A second of a machine, as roles/monitor samples it."""
    values = {"cpu_percent": 40.0, "steal_percent": 1.0, "memory_used_mib": 512.0, "memory_mib": 2048.0}
    return {"at_s": at_s, **values, "frequency_mhz": None, **changes}


def write_load(folder: Path, node: str, boot: str, samples: list[dict[str, Any]], name: str = "1.jsonl") -> None:
    """The load of a node in a run's folder."""
    (folder / "load" / node).mkdir(parents=True, exist_ok=True)
    (folder / "load" / node / "machine.json").write_text(json.dumps({"boot": boot, "cores": 2}))
    (folder / "load" / node / name).write_text("".join(json.dumps(one) + "\n" for one in samples))
