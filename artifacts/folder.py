"""The artifacts' folder: what is there, which address it came from, and what it is compared with."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from artifacts.download import sha256_of
from artifacts.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from artifacts.release import File


@dataclass(frozen=True, slots=True)
class Entry:
    """What was recorded of a file or an image: where it came from, and its SHA-256."""

    url: str
    sha256: str


@dataclass(frozen=True, slots=True)
class State:
    """What a file of the folder is: ``good``, ``unknown`` (no checksum is known), or not usable, and why."""

    name: str
    kind: str
    words: str
    size_bytes: int = 0

    @property
    def usable(self) -> bool:
        """Whether nodes can be made of it."""
        return self.kind in {"good", "unknown"}


class Folder:
    """The folder, and ``artifacts.json`` in it: an :class:`Entry` by the name of each file and each tagged image."""

    def __init__(self, path: Path, pins: Mapping[str, str]) -> None:
        self.path = path
        self._pins = pins
        self._file = path / "artifacts.json"
        try:
            text = self._file.read_text("utf-8") if self._file.exists() else "{}"
            self._entries = {name: Entry(**entry) for name, entry in json.loads(text).items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{self._file} cannot be read ({error}); delete it and run `make artifacts`") from error

    def record(self, name: str, url: str, sha256: str) -> None:
        """Keep where a file came from, and what it is."""
        self._entries[name] = Entry(url, sha256)
        entries = {key: {"url": entry.url, "sha256": entry.sha256} for key, entry in sorted(self._entries.items())}
        partial = self._file.with_name(f"{self._file.name}.partial")
        partial.write_text(json.dumps(entries, indent=1) + "\n", "utf-8")
        partial.replace(self._file)

    def recorded(self, name: str, url: str) -> str | None:
        """The SHA-256 that this file or image had when it came from this address, or its pin, if there is either."""
        entry = self._entries.get(name)
        return self._pins.get(name) or (entry.sha256 if entry and entry.url == url else None)

    def expected(self, file: File) -> str | None:
        """The SHA-256 a file must have: its pin, the release's own, the first download's; None where none is known."""
        if file.sums and file.name not in self._pins:
            return self._listed(file)
        return self.recorded(file.name, file.url)

    def state(self, name: str, url: str, expected: str | None) -> State:
        """Compare a file with what it must be."""
        path = self.path / name
        if not path.is_file():
            return State(name, "missing", "missing")
        size_bytes, entry = path.stat().st_size, self._entries.get(name)
        if entry and entry.url != url:
            return State(name, "stale", "of another version", size_bytes)
        if expected is None:
            return State(name, "unknown", "put here by hand, not verified: no checksum is known", size_bytes)
        if sha256_of(path) != expected:
            return State(name, "damaged", f"damaged or tampered with: expected sha256 {expected}", size_bytes)
        words = "verified" if entry else "put here by hand, verified"
        return State(name, "good", words, size_bytes)

    def _listed(self, file: File) -> str | None:
        path = self.path / file.sums
        if not path.is_file():
            return None
        rows = (line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines() if line.strip())
        return {row[1].strip().lstrip("*"): row[0].lower() for row in rows if len(row) > 1}.get(file.name)


def default_path() -> Path:
    """``FAASBED_ARTIFACTS``, or ``faasbed/artifacts`` in the user's cache."""
    return Path(os.environ.get("FAASBED_ARTIFACTS") or user_cache_path("faasbed") / "artifacts")
