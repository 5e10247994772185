"""The source of modules that run here, which leave a copy of it on the node for programs that outlive them."""

from __future__ import annotations

from importlib.util import find_spec

from ansible.module_utils.node.errors import NodeError


def source(name: str) -> str:
    """Return the source of a Python module, wherever it was loaded from.

    Raises:
        NodeError: it cannot be read.
    """
    spec = find_spec(name)
    text: str | None = getattr(spec.loader, "get_source", lambda _: None)(name) if spec and spec.loader else None
    if text is None:
        raise NodeError(f"the source of {name} cannot be read, so it cannot be left on the node.")
    return text
