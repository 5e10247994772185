"""The package of ``roles/netem`` that knows what a link may be: loaded by its path, for roles are no packages.

It is the code that Ansible sends to the nodes, so a scenario is refused by the same ranges as ``netem_links``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible.module_utils.netem.property import Range

FOLDER = Path(__file__).resolve().parents[2] / "roles" / "netem" / "module_utils" / "netem"
NAME = "faasbed_roles_netem"


def _module(name: str) -> Any:
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            NAME, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
        )
        if spec is None or spec.loader is None:
            raise ImportError(f"{FOLDER} is not a package")
        package = importlib.util.module_from_spec(spec)
        sys.modules[NAME] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"{NAME}.{name}")


def parts(range_: Range) -> dict[str, tuple[Range, Any]]:
    """Return the ranges and defaults of a value that is a mapping itself (``...`` where there is no default)."""
    return _declared(range_.kind)


def declared() -> dict[str, tuple[Range, Any]]:
    """Return the ranges and defaults of all values of a link (``...`` where there is no default)."""
    kinds = _module("properties").PROPERTIES
    return {name: one for kind in kinds for name, one in _declared(kind).items()}


def _declared(kind: type) -> dict[str, tuple[Range, Any]]:
    known: dict[str, tuple[Range, Any]] = _module("property").declared(kind)
    return known


def loss() -> frozenset[str]:
    """Return the values of a link that say which frames are lost."""
    return frozenset(_declared(_module("loss").Loss))


def shape(values: dict[str, Any]) -> str:
    """Return what a link with these values does, as the role says it."""
    words: str = _link(values).shape
    return words


def lowest_ms(values: dict[str, Any]) -> float:
    """Return the shortest delay that a link with these values draws."""
    lowest: float = _link(values).delay.drawn.lowest_ms
    return lowest


def _link(values: dict[str, Any]) -> Any:
    return _module("link").Link.between("one", "other", **values)


def refusal(values: dict[str, Any]) -> str | None:
    """Return why no link can have these values together, or None."""
    try:
        _module("link").properties_of(values)
    except _module("property").PropertyError as error:
        return str(error)
    return None
