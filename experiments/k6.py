"""A plan for other load generators: each scenario's requests as a trace in CSV, their bodies, and a script for k6.

The trace is one that `traffic: {arrivals: trace}` reads, so that it can be measured here again, too.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from experiments import workloads
from experiments.base_station.arrivals import MOST_OFFSET_S, Closed
from experiments.base_station.plan import UNTIMED_S
from experiments.base_station.sending import MOST_UNDER_WAY
from experiments.errors import SpecError
from experiments.outlook import repetition_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.base_station.plan import Plan, ScenarioPlan
    from experiments.base_station.sending import Ready
    from experiments.workloads.data import Dataset

# Of clients that wait for replies nobody knows how many requests they send: after so many they begin again.
CYCLE = 1_000
HEAD = """\
// Sends the requests of a repetition as faasbed planned them: k6 run {name}.js
// Scenario {scenario} from {base_station}, repetition {repetition}. URL=http://... sends them elsewhere.
import http from 'k6/http';
import exec from 'k6/execution';
import {{ check, sleep }} from 'k6';

const sites = {sites}; // the address of each, and the Host header of its requests
const headers = {headers};
const bodies = {files}.map((name) => open(name, 'b'));
const order = {order}; // which of the bodies each request has, and which of the sites it goes to

export const options = {{
  scenarios: {{ {executor} }},
  noConnectionReuse: {is_new},
  noVUConnectionReuse: {is_new},
}};

function send(number) {{
  const [body, site] = order[number % order.length];
  const [url, host] = sites[site];
  const params = {{ headers: Object.assign({{ Host: host }}, headers), timeout: {timeout} }};
  const reply = http.post(__ENV.URL || url, bodies[body], params);
  check(reply, {{ 'status is expected': (r) => {statuses}.includes(r.status) }});
}}
"""
OPEN = """
// When each is to be sent, in seconds from the begin.
const offsets = open('./{name}.csv').trim().split(/\\r?\\n/).slice(1).map((line) => Number(line.split(',')[0]));

export default function () {{
  const number = exec.scenario.iterationInTest;
  const wait = offsets[number] - (Date.now() - exec.scenario.startTime) / 1000;
  if (wait > 0) sleep(wait);
  send(number);
}}
"""
CLOSED = """
export default function () {{
  send(exec.scenario.iterationInTest);
  sleep({think_s});
}}
"""


def files(plan: Plan, rows: Dataset, repetition: int) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a plan's scenarios, each with its name; those of several base stations have theirs in it.

    Of clients that wait for replies (`closed`) there is no trace: replies decide when they send.

    Raises:
        SpecError: the plan has no such repetition, or k6 cannot send its requests.
    """
    if not 0 <= repetition < len(plan.splits):
        raise SpecError(f"there is no repetition {repetition}: the plan has {len(plan.splits)}, counted from 0")
    for scenario, planned in plan.scenarios.items():
        if planned.protocol != "http/1.1":
            raise SpecError(
                f"scenario {scenario}: transport.protocol {planned.protocol}: k6 speaks it over TLS only, and here is "
                "none; export it with http/1.1"
            )
        for base_station in plan.base_stations:
            name = scenario if len(plan.base_stations) == 1 else f"{scenario}_{base_station}"
            measured = repetition_of(plan, scenario, base_station, rows, repetition)
            ready = measured.ready()
            requests = ready.requests
            if not isinstance(planned.traffic, Closed):
                yield f"{name}.csv", _trace(ready).encode()
            elif planned.traffic.count is None:
                requests = requests[:CYCLE]
            bodies = list(dict.fromkeys(body for _, _, body in requests))
            names = [f"{name}-{number}.body" for number in range(1, len(bodies) + 1)]
            yield from zip(names, bodies, strict=True)
            places = {body: place for place, body in enumerate(bodies)}
            order = [(places[body], site) for (_, _, body), site in zip(requests, measured.sites, strict=False)]
            about = {"name": name, "scenario": scenario, "base_station": base_station, "repetition": repetition}
            yield f"{name}.js", _script(about, planned, names, order, rows).encode()


def _trace(ready: Ready) -> str:
    """Return the arrivals as CSV; kinds and sizes only where there are any."""
    dues = [due for _, due, _ in ready.requests]
    columns = {"offset_s": [repr(due.offset_s) for due in dues]}
    if any(due.kind is not None for due in dues):
        columns["kind"] = [due.kind or "" for due in dues]
    if any(due.body_bytes is not None for due in dues):
        columns["bytes"] = ["" if due.body_bytes is None else str(due.body_bytes) for due in dues]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _script(
    about: dict[str, Any], planned: ScenarioPlan, names: list[str], order: list[tuple[int, str]], rows: Dataset
) -> str:
    workload = workloads.make(planned.workload, planned.settings, rows)
    headers = {"Content-Type": workload.content_type}
    if planned.encoding != "plain":
        headers["Content-Encoding"] = planned.encoding
    traffic = planned.traffic
    text = CLOSED.format(think_s=traffic.think_s) if isinstance(traffic, Closed) else OPEN.format(**about)
    timeout_s = planned.timeout_s or UNTIMED_S
    names_of_sites = list(planned.sites)
    return (
        HEAD.format(
            **about,
            sites=json.dumps([[site.url, site.host] for site in planned.sites.values()]),
            headers=json.dumps(headers),
            timeout=json.dumps(f"{timeout_s:g}s"),
            files=json.dumps([f"./{name}" for name in names]),
            order=json.dumps([[body, names_of_sites.index(site)] for body, site in order], separators=(",", ":")),
            executor=f"{json.dumps(about['scenario'])}: {json.dumps(_executor(planned, len(order), timeout_s))}",
            is_new=json.dumps(planned.connections == "new"),
            statuses=json.dumps(workload.statuses),
        )
        + text
    )


def _executor(planned: ScenarioPlan, count: int, timeout_s: float) -> dict[str, Any]:
    """Return what makes k6 call the script once a request, with as many at work at once as may have to be."""
    traffic = planned.traffic
    if isinstance(traffic, Closed) and traffic.duration_s is not None:
        return {"executor": "constant-vus", "vus": traffic.clients, "duration": f"{traffic.duration_s:g}s"}
    at_once = traffic.clients if isinstance(traffic, Closed) else MOST_UNDER_WAY
    return {
        "executor": "shared-iterations",
        "vus": min(count, at_once),
        "iterations": count,
        "maxDuration": f"{MOST_OFFSET_S + timeout_s:g}s",
    }
