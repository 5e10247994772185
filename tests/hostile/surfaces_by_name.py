"""The surfaces by their names, each opened when it is first used."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

SURFACES = (
    "bodies",
    "raw_http",
    "scenarios",
    "inventories",
    "datasets",
    "record_lines",
    "run_folders",
    "packets",
    "replies",
)


class Surfaces:
    """What is open of them; a context manager that closes them, which checks that what listens has lived."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: dict[str, Any] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __getitem__(self, name: str) -> Any:
        """Return a surface: `answer` takes the keys of a row."""
        if name not in self._opened:
            folder = self._folder / name
            folder.mkdir()
            surface = import_module(f"surfaces.{name}").Surface(folder)
            self._opened[name] = self._stack.enter_context(surface)
        return self._opened[name]
