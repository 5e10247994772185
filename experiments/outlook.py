"""What an experiment will do on an inventory's nodes: who sends what to whom and when. No node is touched."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from collect.sweep import written
from experiments import plan, workloads
from experiments.base_station.arrivals import Closed, Together, expected_s
from experiments.base_station.changes import parts
from experiments.base_station.plan import UNTIMED_S, Entry
from experiments.base_station.repetition import Repetition
from experiments.workloads.data import Dataset as Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collect.sweep import Sweep
    from experiments.base_station.arrivals import Arrivals
    from experiments.base_station.plan import Plan
    from experiments.base_station.sending import Ready
    from experiments.data.dataset import Dataset
    from experiments.placement import Placement
    from experiments.service import Service
    from experiments.spec import Experiment, Scenario

MB = 1e6
# Of a recorded link the first ones tell enough.
MOST_EVENTS = 20


def outlook(experiment: Experiment, placement: Placement, data: Dataset, seed: int) -> Iterator[str]:
    """Yield what an experiment will do, in lines; sizes and times of sending are those of its first repetition.

    Of a sweep each scenario's first point is told in full, the others in a line.
    """
    drawn = plan.draw(experiment, placement, run="check", texts=len(data.texts), dataset=data.sha256, seed=seed)
    rows = Rows(list(data.texts), list(data.labels))
    yield (
        f"{experiment.name}: {_count(len(experiment.scenarios), 'scenario')}, each {experiment.repetitions} times and "
        f"{_count(experiment.warmups, 'warm-up')} before; from each of {', '.join(placement.base_stations)} "
        f"{len(drawn.order)} repetitions in all"
    )
    if experiment.sweep is not None:
        yield from _of_sweep(experiment.sweep, placement, len(drawn.order))
    told_already: set[str] = set()
    for scenario in experiment.scenarios:
        of = experiment.sweep.points[scenario.name].of if experiment.sweep is not None else scenario.name
        if of in told_already:
            yield _of_point(scenario, placement, drawn, rows)
        else:
            yield from _of_scenario(scenario, experiment, placement, drawn, rows)
        told_already.add(of)


def _of_sweep(sweep: Sweep, placement: Placement, repetitions: int) -> Iterator[str]:
    """Yield the axes of a sweep, how long it takes at least, and what its links cost."""
    for axis in sweep.axes:
        yield f"  axis {axis.name}: {', '.join(map(written, axis.values))}"
    scenarios = [f"{_count(len(sweep.points_of(scenario)), 'point')} of {scenario}" for scenario in sweep.scenarios]
    yield (
        f"  {_count(len(sweep.points), 'point')}: {' and '.join(scenarios)}; {repetitions / 60:.3g} minutes for each "
        "second that a repetition takes on average, with the base station's training afterwards"
    )
    if placement.links:
        yield (
            f"  {_count(len(placement.links), 'link')}, each shaped once and verified before and after; points with "
            "other links stand on other nodes"
        )


def _of_point(scenario: Scenario, placement: Placement, drawn: Plan, rows: Rows) -> str:
    """Return where a point stands and what it sends, in a line; the rest is as of its scenario's first point."""
    nodes = [node for service in placement.services[scenario.name] for node in service.nodes]
    if isinstance(scenario.arrivals, Closed) and scenario.arrivals.count is None:
        requests = "requests as clients send them"
    else:
        sizes = [
            len(body)
            for base_station in drawn.base_stations
            for _, _, body in repetition_of(drawn, scenario.name, base_station, rows, 0).ready().requests
        ]
        requests = f"{_count(len(sizes), 'request')}, {_mb(sum(sizes))} in all"
    return f"{scenario.name}: {scenario.title}: {requests}; on {', '.join(nodes)}"


def _of_scenario(
    scenario: Scenario, experiment: Experiment, placement: Placement, drawn: Plan, rows: Rows
) -> Iterator[str]:
    services = {service.site: service for service in placement.services[scenario.name]}
    yield f"{scenario.name}: {scenario.title}"
    for service in services.values():
        yield (
            f"  {_count(len(service.nodes), 'replica')} on {', '.join(service.nodes)}, reached through "
            f"{service.gateway} at {service.url}" + (f"; each has {service.limits} at most" if service.limits else "")
        )
    for base_station in placement.base_stations:
        which = f"from {base_station} " if len(placement.base_stations) > 1 else ""
        yield from _sent_by(which, scenario, services, repetition_of(drawn, scenario.name, base_station, rows, 0))
    events = placement.events[scenario.name]
    for event in events[:MOST_EVENTS]:
        before = (event.before_repetition or 0) + 1
        when = f"before repetition {before}" if event.at_s is None else f"at {event.at_s:g} s"
        for shape in dict.fromkeys(link.shape for link in event.links):
            links = [f"{link.source} -> {link.target}" for link in event.links if link.shape == shape]
            yield f"  {when}: {', '.join(links)}: {shape}"
        for part in list(parts(event))[len(event.links) :]:
            yield f"  {when}: {part.source}{f' -> {part.target}' if part.target else ''}: {part.shape}"
    if len(events) > MOST_EVENTS:
        last_s = max(event.at_s or 0.0 for event in events)
        yield f"  and {_count(len(events) - MOST_EVENTS, 'more event')}, the last one at {last_s:g} s"
    yield f"  {_duration(scenario, experiment)}"


def _sent_by(which: str, scenario: Scenario, services: Mapping[str, Service], repetition: Repetition) -> Iterator[str]:
    """Yield what one base station sends, and where to."""
    ready = repetition.ready()
    sizes = [len(body) for _, _, body in ready.requests]
    if isinstance(scenario.arrivals, Closed) and scenario.arrivals.count is None:
        yield f"  {which}{_words(scenario.arrivals)}; each request has {_mb(max(sizes))} at most"
        return
    yield (
        f"  {which}{_words(scenario.arrivals)}: {_count(len(sizes), 'request')} of "
        f"{' to '.join(dict.fromkeys((_mb(min(sizes)), _mb(max(sizes)))))}{_when(ready)}"
    )
    by_site = dict.fromkeys(services, 0)
    for size, site in zip(sizes, repetition.sites, strict=False):
        by_site[site] += size
    for site, size in by_site.items():
        if size:
            gateway, *others = services[site].nodes
            yield f"  {repetition.base_station} -> {gateway}: {_mb(size)} a repetition, and the replies back"
            for node in others:
                part = _mb(size / len(services[site].nodes))
                yield f"  {gateway} -> {node}: {part} of it, as far as replicas share alike"


def repetition_of(drawn: Plan, name: str, base_station: str, rows: Rows, repetition: int) -> Repetition:
    """Return a repetition of a scenario as a base station measures it."""
    planned = drawn.scenarios[name]
    return Repetition(
        run=drawn.run,
        plan=drawn.hash,
        seed=drawn.seed,
        base_station=base_station,
        entry=Entry(scenario=name, block=1, repetition=repetition, warmup=False),
        scenario=planned,
        workload=workloads.make(planned.workload, planned.settings, rows),
        cut=drawn.parts(name, repetition, rows.y)[base_station],
        position=list(drawn.base_stations).index(base_station),
    )


def _words(arrivals: Arrivals) -> str:
    match arrivals:
        case Together():
            return "sent together"
        case Closed():
            clients = f"{_count(arrivals.clients, 'client')} that wait for the reply and think {arrivals.think_s:g} s"
            return clients + (f", for {arrivals.duration_s:g} s" if arrivals.duration_s is not None else "")
    rate = getattr(arrivals, "rate_per_s", None)
    return f"{arrivals.__struct_config__.tag}{f', {rate:g} a second' if rate is not None else ''}"


def _when(ready: Ready) -> str:
    offsets = [due.offset_s for _, due, _ in ready.requests]
    kinds = Counter(due.kind for _, due, _ in ready.requests if due.kind is not None)
    when = f", the first after {offsets[0]:.3g} s, the last after {offsets[-1]:.4g} s" if offsets[-1] else ""
    of_kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return when + (f" ({of_kinds})" if kinds else "")


def _duration(scenario: Scenario, experiment: Experiment) -> str:
    times = experiment.repetitions + experiment.warmups
    sending_s = expected_s(scenario.arrivals)
    known_s = scenario.requests.idle_s + (sending_s or 0)
    each = "each repetition takes as long as its replies do"
    if not known_s:
        return f"{each}, {scenario.requests.timeout_s or UNTIMED_S:g} s at most"
    return f"{each}, and {known_s:g} s at least: {known_s * times / 60:.3g} minutes or more for all {times}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _mb(size: float) -> str:
    return f"{size / MB:.3g} MB" if size >= MB / 1000 else f"{size:.0f} bytes"
