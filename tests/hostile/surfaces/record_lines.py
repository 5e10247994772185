"""Records: lines of ``raw/samples.jsonl`` after those of a good run.

``line`` is a line; ``model`` or ``request`` are changes of that record in one more repetition of edge, with the checksum
that fits them unless ``checksum`` is ``old`` or ``none``; ``alone`` leaves out the repetition's other lines. The answer is
the sentence that refuses the run, or what is noted of it.
"""

from __future__ import annotations

import json
import zlib
from random import Random
from typing import TYPE_CHECKING, Any

from bad_inputs import as_bytes, changed
from generated_run import all_records, repetition, write_run

from collect import records, run
from collect.errors import CollectError
from collect.folder import FolderError, RunFolder
from surfaces import Opened, sentence

if TYPE_CHECKING:
    from pathlib import Path

REPETITIONS = 3


def lines(kind: str, changes: dict[str, Any], *, checksum: str = "new", alone: bool = False) -> bytes:
    """Return the lines of a repetition in which one record has changes."""
    drawn = repetition("edge", REPETITIONS + 1, Random(1), accuracy=0.9)
    place = len(drawn) - 1 if kind == "model" else 0
    written = [records.dump(one).encode() for one in drawn]
    good = json.loads(written[place])
    old = good.pop("checksum")
    body = json.dumps(changed(good, changes), separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )
    fits = old if checksum == "old" else f"{zlib.crc32(body):08x}"
    written[place] = body if checksum == "none" else body[:-1] + f',"checksum":"{fits}"}}'.encode()
    return written[place] if alone else b"\n".join(written)


class Surface(Opened):
    """A run whose records are read as `python -m collect` reads them."""

    def __init__(self, folder: Path) -> None:
        self._folder = RunFolder(write_run(folder, all_records(repetitions=REPETITIONS)))
        self._samples = self._folder.raw / "samples.jsonl"
        self._good = self._samples.read_bytes()

    def answer(self, checksum: str = "new", end: Any = "\n", alone: bool = False, **given: Any) -> str:
        """Return the sentence that refuses the run, or its notes and the last failure."""
        ((kind, value),) = given.items()
        content = as_bytes(value) if kind == "line" else lines(kind, value, checksum=checksum, alone=alone)
        self._samples.write_bytes(self._good + content + as_bytes(end))
        try:
            loaded = run.load(self._folder)
        except (CollectError, FolderError) as error:
            said = sentence(error)
            return said.replace(str(self._samples), "FILE").replace(str(self._folder.path), "FOLDER")
        failures = [f"{one.scenario} {one.repetition}: {one.error}" for one in loaded.measurements.failures]
        return "; ".join([*loaded.notes, *failures]) or "read"
