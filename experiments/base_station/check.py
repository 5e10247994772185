"""Whether the replicas of each scenario answer, each on the node that it should be on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments import workloads
from experiments.base_station import crossing
from experiments.base_station.errors import DriverError
from experiments.base_station.exchange import CONNECT_TIMEOUT_S, Way, fire
from experiments.base_station.links import Links
from experiments.base_station.plan import UNTIMED_S
from experiments.base_station.transport import packed
from experiments.workloads.workload import ReplyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from experiments.base_station.plan import Plan, ScenarioPlan, Site
    from experiments.workloads.data import Dataset
    from experiments.workloads.workload import Workload


def spread(
    plan: Plan, base_station: str, texts: Dataset, source: str | None = None, links: Links | None = None
) -> dict[str, dict[str, str]]:
    """Send each scenario parallel requests; return the node of each replica that answered.

    There are as many as are planned to be sent together, else as many as replicas.
    A workload whose requests are short may take several rounds until each replica has answered one. A function that
    does not name its replica in its replies has no entry for it. Only the sites that the base station sends to are
    asked. ``source`` is the address from which to send,
    ``links`` are those that leave this node.

    Raises:
        DriverError: a request failed, TCP is not as planned, requests were served elsewhere than they should be, or do
            not cross the links.
    """
    links = links or Links()
    links.in_force()
    spread = {}
    for name, scenario in plan.scenarios.items():
        workload = workloads.make(scenario.workload, scenario.settings, texts)
        spread[name] = spread_of(name, scenario, base_station, workload, source)
        for site in scenario.route(base_station).values():
            _check_crossing(name, scenario, site, source, links.round_trip(site.gateway))
    return spread


def _check_crossing(name: str, scenario: ScenarioPlan, site: Site, source: str | None, added: crossing.Delays) -> None:
    """Refuse a scenario whose requests do not cross the links; where these add nothing, there is nothing to see."""
    if not added.mean_ms:
        return
    measured = crossing.connect(site.url, min(CONNECT_TIMEOUT_S, scenario.timeout_s or CONNECT_TIMEOUT_S), source)
    if problem := crossing.problem_of_several(site.gateway, measured, added):
        raise DriverError(f"scenario {name}: {problem}")


def spread_of(
    name: str,
    scenario: ScenarioPlan,
    base_station: str,
    workload: Workload[Any],
    source: str | None,
    lost: Callable[[], Exception | None] = lambda: None,
) -> dict[str, str]:
    """Do so for one scenario; ``lost`` tells why it is no use to wait for a reply any longer, if so."""
    replicas: dict[str, str] = {}
    for site in scenario.route(base_station).values():
        replicas |= _of_site(name, scenario, site, workload, source, lost)
    return replicas


def _of_site(
    name: str,
    scenario: ScenarioPlan,
    site: Site,
    workload: Workload[Any],
    source: str | None,
    lost: Callable[[], Exception | None],
) -> dict[str, str]:
    probes = scenario.probes(site)
    bodies = [packed(workload.probe(), scenario.encoding)] * probes
    expected = sorted(site.nodes[:probes])
    replicas: dict[str, str] = {}
    way = Way.to(scenario, site, workload, timeout_s=scenario.timeout_s or UNTIMED_S, source=source, lost=lost)
    for _ in range(workload.check_rounds):
        for exchange in fire(way, bodies):
            if exchange.error:
                raise DriverError(f"scenario {name}: {exchange.error}")
            if exchange.congestion_control != scenario.congestion_control:
                raise DriverError(
                    f"scenario {name}: TCP uses {exchange.congestion_control}, expected {scenario.congestion_control}"
                )
            if exchange.protocol != scenario.protocol:
                raise DriverError(
                    f"scenario {name}: {site.url} answered by {exchange.protocol}, expected {scenario.protocol}"
                )
            try:
                reply = workload.reply(exchange.body)
            except ReplyError as error:
                raise DriverError(f"scenario {name}: {site.url}: {error}") from error
            # A function that does not say who it is: there is nothing to compare.
            if reply.replica is None and reply.node is None:
                return {}
            replicas[str(reply.replica)] = str(reply.node)
        if sorted(replicas.values()) == expected:
            return replicas
    raise DriverError(
        f"scenario {name}: {probes} parallel requests were served by replicas on "
        f"{', '.join(sorted(replicas.values()))}; expected one each on {', '.join(site.nodes)}"
    )
