"""What stands in the way of an experiment on an inventory's nodes: everything at once, before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments import placement
from experiments.errors import SpecError
from nodes.errors import FaasbedError, InventoryError
from nodes.playbooks import reworded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from experiments.spec import Experiment
    from nodes.inventory import Inventory
    from nodes.playbooks import Playbooks

# Who a row is about where it is about no single node.
ALL = "inventory"


class PreflightError(FaasbedError):
    """Something stands in the way; the table names it."""

    exit_code = 1


class NotMadeError(FaasbedError):
    """The nodes are made on this machine, and are not there yet: that does not stand in the way."""


def obstacles(experiment: Experiment, inventory: Inventory, playbooks: Playbooks) -> list[tuple[str, str]]:
    """Return what stands in the way: a node, or the whole inventory, and a sentence. Nothing is changed.

    Raises:
        NotMadeError: there are no nodes to look at.
    """
    rows: list[tuple[str, str]] = []
    variables = {}
    known = list(inventory.hosts("nodes"))
    for host in known:
        rows += [(host, sentence) for sentence in _missing(inventory, host)]
    if not rows:  # without all addresses it would only say so again
        try:
            variables = placement.place(experiment, inventory).variables()
        except (SpecError, InventoryError) as error:
            rows.append((ALL, str(error)))
    answers = playbooks.run("obstacles", **variables)
    if set(answers.unreachable) != set(known):
        rows += [(host, reworded(words)) for host, sentences in answers["obstacles"].items() for words in sentences]
        for blocked in answers["blocked"].values():
            rows += list(blocked.items())
    elif inventory.setting("lab_kind", role="lab", group="nodes") != "own":
        raise NotMadeError(f"the nodes of {inventory.name} are made by `make provision`, and are not there yet")
    rows += [(host, str(error)) for host, error in answers.unreachable.items()]
    plain = ((host, sentence.removeprefix(f"{host}: ")) for host, sentence in rows)  # it has its row's name
    return sorted(dict.fromkeys(plain), key=lambda row: known.index(row[0]) if row[0] in known else -1)


def table(rows: Iterable[tuple[str, str]], hosts: Iterable[str]) -> list[str]:
    """Return the rows as lines, with a line for each node in whose way nothing stands."""
    rows = list(rows)
    told = {host for host, _ in rows}
    lines = [*rows, *((host, "ok") for host in hosts if host not in told)]
    width = max((len(host) for host, _ in lines), default=0)
    return [f"  {host:<{width}}  {sentence}" for host, sentence in lines]


def _missing(inventory: Inventory, host: str) -> list[str]:
    """Return which of the variables that every node needs a host lacks."""
    sentences = []
    try:
        inventory.address(host)
    except InventoryError as error:
        sentences.append(str(error).removeprefix(f"inventory {inventory.name}: "))
    if not inventory.variables.get(host, {}).get("data_interface"):
        sentences.append(
            "it has no data_interface; set it to the interface that has data_address (`ip -brief address` on the node)"
        )
    return sentences
