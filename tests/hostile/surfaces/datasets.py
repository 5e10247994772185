"""Data sets: what the loader says of a file.

``content`` is what the file ``name`` (news.csv) holds; ``source`` is given in place of a file. ``most`` is the limit of
what is unpacked, in bytes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from unittest import mock

from bad_inputs import as_bytes

from experiments.data import dataset, packed
from experiments.data.dataset import DatasetError
from surfaces import Opened, sentence

if TYPE_CHECKING:
    from pathlib import Path


class Surface(Opened):
    """The loader, and the writer of what it lets pass."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def answer(
        self,
        content: Any = None,
        name: str = "news.csv",
        source: str | None = None,
        most: int = packed.MOST_BYTES,
        made: str = "",
    ) -> str:
        """Return the sentence that refuses, or ``read: `` and how the file was read."""
        path = self._folder / name
        path.unlink(missing_ok=True)
        if made == "pipe":
            os.mkfifo(path)
        elif content is not None:
            path.write_bytes(as_bytes(content))
        with mock.patch.multiple(packed, MOST_BYTES=most, PIECE_BYTES=min(most, packed.PIECE_BYTES)):
            try:
                read = dataset.load(source if source is not None else str(path), texts=3150, seed=1)
            except DatasetError as error:
                said = sentence(error)
                return said.replace(str(path), "FILE").replace(str(self._folder), "FOLDER")
        dataset.write(read, self._folder / "dataset.json")
        return f"read: {read.source}"
