"""The platforms that an inventory can name in ``function_platform``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.errors import SpecError
from experiments.platforms.knative import Knative
from experiments.platforms.process import Process

if TYPE_CHECKING:
    from experiments.platforms.platform import Platform
    from nodes.inventory import Inventory

PLATFORMS: tuple[Platform, ...] = (Process(), Knative())


def of(inventory: Inventory) -> Platform:
    """Return the platform of an inventory's compute nodes.

    Raises:
        SpecError: the inventory names one that is not there.
    """
    name = inventory.setting("function_platform", role="function", group="compute")
    for platform in PLATFORMS:
        if platform.name == name:
            return platform
    names = ", ".join(platform.name for platform in PLATFORMS)
    raise SpecError(f"inventory {inventory.name}: unknown function_platform {name!r}; expected one of {names}")
