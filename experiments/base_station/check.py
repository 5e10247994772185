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

    from experiments.base_station.plan import Plan, ScenarioPlan
    from experiments.workloads.data import Dataset
    from experiments.workloads.workload import Workload


def spread(
    plan: Plan, texts: Dataset, source: str | None = None, links: Links | None = None
) -> dict[str, dict[str, str]]:
    """Send each scenario parallel requests; return the node of each replica that answered.

    There are as many as are planned to be sent together, else as many as replicas.
    A workload whose requests are short may take several rounds until each replica has answered one. A function that
    does not name its replica in its replies has no entry for it. ``source`` is the address from which to send,
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
        spread[name] = spread_of(name, scenario, workload, source)
        _check_crossing(name, scenario, source, links.round_trip(scenario.gateway))
    return spread


def _check_crossing(name: str, scenario: ScenarioPlan, source: str | None, added: crossing.Delays) -> None:
    """Refuse a scenario whose requests do not cross the links; where these add nothing, there is nothing to see."""
    if not added.mean_ms:
        return
    measured = crossing.connect(scenario.url, min(CONNECT_TIMEOUT_S, scenario.timeout_s or CONNECT_TIMEOUT_S), source)
    if problem := crossing.problem_of_several(scenario.gateway, measured, added):
        raise DriverError(f"scenario {name}: {problem}")


def spread_of(
    name: str,
    scenario: ScenarioPlan,
    workload: Workload[Any],
    source: str | None,
    lost: Callable[[], Exception | None] = lambda: None,
) -> dict[str, str]:
    """Do so for one scenario; ``lost`` tells why it is no use to wait for a reply any longer, if so."""
    bodies = [packed(workload.probe(), scenario.encoding)] * scenario.probes
    expected = sorted(scenario.nodes[: scenario.probes])
    replicas: dict[str, str] = {}
    way = Way.to(scenario, workload, timeout_s=scenario.timeout_s or UNTIMED_S, source=source, lost=lost)
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
                    f"scenario {name}: {scenario.url} answered by {exchange.protocol}, expected {scenario.protocol}"
                )
            try:
                reply = workload.reply(exchange.body)
            except ReplyError as error:
                raise DriverError(f"scenario {name}: {scenario.url}: {error}") from error
            if (
                reply.replica is None and reply.node is None
            ):  # a function that does not say who it is: there is nothing to compare
                return {}
            replicas[str(reply.replica)] = str(reply.node)
        if sorted(replicas.values()) == expected:
            return replicas
    raise DriverError(
        f"scenario {name}: {scenario.probes} parallel requests were served by replicas on "
        f"{', '.join(sorted(replicas.values()))}; expected one each on {', '.join(scenario.nodes)}"
    )
