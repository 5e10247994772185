"""Cold starts on a cluster: what they are made of, by what the cluster told of each replica."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from generated_run import MS, RUN, all_records, request, write_run
from msgspec.structs import replace

from collect import pods
from collect.__main__ import main
from collect.analysis import summary
from collect.analysis.phases import split
from collect.analysis.repetitions import gather
from collect.analysis.starts import PHASES, Cold
from collect.folder import RunFolder
from collect.records import RequestRecord
from collect.report.page import render
from collect.run import load

if TYPE_CHECKING:
    from pathlib import Path

    from collect.analysis.starts import States

SENT_S = datetime.fromisoformat(request().started_at).timestamp()
# The request takes 0.45 s until its first byte, 0.3 s of it the function's own.
COLD = request(cold=True, replica="cold-1", first_byte_ns=6450 * MS, last_byte_ns=6500 * MS)


def told(created: float, scheduled: float, started: float, ready: float) -> States:
    after_s = {"created": created, "scheduled": scheduled, "started": started, "ready": ready}
    return {state: SENT_S + seconds for state, seconds in after_s.items()}


def medians(cold: Cold, states: States) -> dict[str, float | None]:
    """What the only cold start was made of."""
    starts = cold.starts({"cold-1": states})
    assert starts is not None
    assert (starts.cold, starts.known, tuple(starts.phases_s)) == (1, 1, PHASES)
    return {name: None if one is None else round(one.median, 4) for name, one in starts.phases_s.items()}


OWN_S = sum(COLD.phases_ms.values()) / 1e3


def test_the_phases_of_a_cold_start_add_up_to_the_time_until_its_reply() -> None:
    cold = Cold()
    cold.add([COLD, request(request=1, replica="warm")])
    assert medians(cold, told(0.5, 0.6, 2.0, 60)) == {
        "decided": 0.5, "scheduled": 0.1, "started": 1.4, "imported": None, "warmed_up": None,
        "reached": pytest.approx(3.45 - OWN_S), "answered": pytest.approx(OWN_S),
    }  # fmt: skip


@pytest.mark.parametrize(("told_s", "began_s"), [(2.0, 2.0), (3.2, 5.45 - OWN_S - 2.5)], ids=["at once", "late"])
def test_a_function_that_tells_of_its_own_start_has_that_apart(told_s: float, began_s: float) -> None:
    cold = Cold()
    tells = COLD.phases_ms | {"start_import": 1500.0, "start_warm_up": 1000.0}
    cold.add([replace(COLD, phases_ms=tells)])
    assert medians(cold, told(0.5, 0.6, told_s, 60)) == {
        "decided": 0.5, "scheduled": 0.1, "started": pytest.approx(began_s - 0.6), "imported": 1.5, "warmed_up": 1.0,
        "reached": pytest.approx(5.45 - OWN_S - 2.5 - began_s, abs=1e-4), "answered": pytest.approx(OWN_S),
    }  # fmt: skip
    phases = split([replace(COLD, phases_ms=tells)])
    assert phases is not None
    assert not any(name.startswith("start") for name in phases[0].phases_s)


@pytest.mark.parametrize(
    "states",
    [
        {},
        {"created": SENT_S + 0.5, "scheduled": SENT_S + 0.6},
        told(-9, 0.1, 0.2, 0.3),
        told(0.5, 0.4, 2, 3),
        told(1, 2, 9, 60),
    ],
    ids=["unknown", "never started", "there before", "out of order", "started after its reply"],
)
def test_a_start_of_which_not_all_is_known_is_none(states: States) -> None:
    cold = Cold()
    cold.add([COLD])
    assert cold.starts({"cold-1": states}) is None
    cold.add([replace(COLD, replica="cold-2")])
    starts = cold.starts({"cold-1": states, "cold-2": told(0.5, 0.6, 2.0, 4.5)})
    assert starts is not None
    assert (starts.cold, starts.known) == (2, 1)


def first(record: RequestRecord) -> RequestRecord:
    """The same request as one that a replica of its own answered first."""
    return replace(record, cold=record.request == 0, replica=f"cold-{record.repetition}")


def test_what_the_cluster_told_is_read_from_the_run_and_stands_in_the_report(tmp_path: Path) -> None:
    records = [first(r) if isinstance(r, RequestRecord) and r.scenario == "edge" else r for r in all_records()]
    folder = write_run(tmp_path, records)
    of_node = folder / "load" / "edge-1"
    of_node.mkdir(parents=True)
    lines = [
        json.dumps({"at_s": at_s, "pod": f"cold-{number}", "state": state})
        for number in range(1, 8)
        for state, at_s in told(0.01, 0.02, 0.05, 0.06).items()
    ]
    (of_node / "pods-1.jsonl").write_text("\n".join(lines) + '\n{"at_s": 1, "po', "utf-8")
    (of_node / "pods-2.jsonl").write_text('{"at_s": 1, "pod": "x", "state": "<b>"}\n', "utf-8")
    run = load(RunFolder(folder))
    assert len(run.pods) == 7
    assert [note for note in run.notes if "pods" in note] == [
        "load/edge-1/pods-2.jsonl is damaged and was ignored: Invalid enum value '<b>' - at `$.state`."
    ]
    page = " ".join(render(run, summary.analyse(RUN, run.measurements, pods=run.pods), {}).split())
    row = '<th scope="row">edge</th><td class="number">7<br><small>of 20</small></td><td class="number">0.0100<br>'
    assert row in page
    assert main(["export", RUN, "--results", str(tmp_path)]) == 0
    with (folder / "export" / "pods.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [one["replica"] for one in rows] == [f"cold-{number}" for number in range(1, 8)]
    assert {one["ready_at_s"] for one in rows} == {str(SENT_S + 0.06)}
    assert {one["gone_at_s"] for one in rows} == {""}


def test_a_run_without_any_has_no_table(tmp_path: Path) -> None:
    run = load(RunFolder(write_run(tmp_path, all_records(repetitions=2))))
    assert run.pods == pods.read(run.folder, []) == {}
    analysis = summary.analyse(RUN, gather(all_records(repetitions=2)))
    assert all(scenario.starts is None for scenario in analysis.scenarios)
    assert "Cold starts by what" not in render(run, analysis, {})
