"""The platforms that an inventory can name in ``function_platform``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.errors import SpecError
from experiments.platforms.knative import Knative
from experiments.platforms.kubernetes import Kubernetes
from experiments.platforms.process import Process

if TYPE_CHECKING:
    from experiments.platforms.platform import Platform
    from nodes.inventory import Inventory

PLATFORMS: tuple[Platform, ...] = (Process(), Kubernetes(), Knative())


def of(inventory: Inventory) -> Platform:
    """Return the platform of an inventory's compute nodes.

    Raises:
        SpecError: the inventory names one that is not there, or several.
    """
    names = inventory.settings("function_platform", role="function", group="compute")
    name = inventory.setting("function_platform", role="function", group="compute")
    known = {platform.name: platform for platform in PLATFORMS}
    for host, own in names.items():
        if not isinstance(own, str) or own not in known:
            raise SpecError(
                f"inventory {inventory.name}: unknown function_platform {own!r:.60}; expected one of "
                f"{', '.join(known)} (host {host})"
            )
        if own != name:
            raise SpecError(
                f"inventory {inventory.name}: function_platform is {name} for the first compute node and {own} for "
                f"{host}; set one for the group compute"
            )
    return known[str(name)]
