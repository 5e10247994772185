"""A YAML file as data: each key once, and no more of it than a scenario has, however its aliases multiply it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from experiments.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path

# More than the scenario of any testbed has, aliases written out; among it may be a body to send, which is escaped.
MOST_BYTES, MOST_VALUES = 256 << 20, 100_000


class _DocumentError(Exception):
    """YAML that is not taken, though the loader would; the message says where and why."""


class _EachKeyOnce(yaml.SafeLoader):
    """A loader that refuses a key that stands twice in one mapping: YAML forbids it, and the last would count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                line = key.start_mark.line + 1
                raise _DocumentError(
                    f"{key.value:.60}: stands twice in one mapping, again on line {line}; keep one of them"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        SpecError: it cannot be read, is not YAML, has a key twice or more values than a scenario has.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise SpecError(f"{path}: is larger than {MOST_BYTES >> 20} MiB, so it is not read as a scenario")
    try:
        return _loaded(content.decode())
    except _DocumentError as error:
        raise SpecError(f"{path}: {error}") from error
    except RecursionError as error:
        raise SpecError(f"{path}: not YAML of a scenario: nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:  # a value of YAML's that Python has not, such as a 13th month
        words = " ".join(str(error).split()).replace('"<unicode string>", ', "").partition("; use sys.")[0]
        raise SpecError(f"{path}: not YAML: {words[:400]}") from error


def _loaded(text: str) -> Any:
    loader = _EachKeyOnce(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, counts: dict[int, int | None]) -> int:
    """Return how many values a node has, aliases written out; ``counts`` are those of nodes that were counted."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    line = node.start_mark.line + 1
    if id(node) not in counts:
        counts[id(node)] = None
        inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        counts[id(node)] = 1 + sum(_count(part, counts) for part in inner)
    count = counts[id(node)]
    if count is None:
        raise _DocumentError(f"line {line}: what an alias stands for holds that alias")
    if count > MOST_VALUES:
        raise _DocumentError(f"line {line}: more than {MOST_VALUES} values, aliases written out")
    return count
