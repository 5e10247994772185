"""The artifacts' folder: what is there, where it came from, and how it was verified."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from artifacts.download import sha256_of
from artifacts.errors import ArtifactError
from artifacts.pins import HTTPS, IMAGE, LISTED, PINNED, SITE, Expected, Pins, is_sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

    from artifacts.release import File

# The origin of a file that was not downloaded by faasbed.
BY_HAND = "put here by hand"
NOT_PINNED = {LISTED: "verified against its release's list, not pinned", HTTPS: "taken over HTTPS, not pinned"}


@dataclass(frozen=True, slots=True)
class Entry:
    """What was recorded of a file or an image.

    Attributes:
        url: the address that it stands for, at its project.
        sha256: its SHA-256.
        origin: where it came from: that address, a mirror's, or a hand.
        verified: what it was held against; empty in records of old, which prove nothing.
    """

    url: str
    sha256: str
    origin: str = ""
    verified: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What a file of the folder is, in words, and whether nodes can be made of it."""

    name: str
    usable: bool
    words: str
    size_bytes: int = 0


class Folder:
    """The folder, and ``artifacts.json`` in it: an :class:`Entry` by the name of each file and each tagged image."""

    def __init__(self, path: Path, pins: Pins) -> None:
        self.path = path
        self._pins = pins
        self._file = path / "artifacts.json"
        try:
            text = self._file.read_text("utf-8") if self._file.exists() else "{}"
            self._entries = {name: Entry(**entry) for name, entry in json.loads(text).items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{self._file} cannot be read ({error}); delete it and run `make artifacts`") from error

    def record(self, name: str, url: str, expected: Expected, origin: str | None = None) -> None:
        """Keep what a file is and how it was verified, and where it came from where that is new."""
        if origin is None:
            entry = self._entries.get(name)
            origin = (entry.origin if entry and entry.sha256 == expected.sha256 else "") or BY_HAND
        self._entries[name] = Entry(url, expected.sha256, origin, expected.verified)
        entries = {key: asdict(entry) for key, entry in sorted(self._entries.items())}
        partial = self._file.with_name(f"{self._file.name}.partial")
        partial.write_text(json.dumps(entries, indent=1) + "\n", "utf-8")
        partial.replace(self._file)

    def pinned(self, name: str, url: str) -> Expected | None:
        """The SHA-256 by which a file or an image is pinned; a site's pin counts as long as the file is recorded."""
        pin, entry = self._pins.of(name, url), self._entries.get(name)
        if (pin is None or pin.verified != SITE) and entry and entry.url == url and entry.verified == SITE:
            return Expected(entry.sha256, SITE)
        return pin

    def expected(self, name: str, url: str, sums: str = "") -> Expected | None:
        """The SHA-256 that a file or an image must have: its pin, its release's own, the verified file's.

        Args:
            name: the file's or the image's.
            url: the address that it stands for.
            sums: the name of the file of the same release that lists it.
        """
        if pin := self.pinned(name, url):
            return pin
        if sums:
            return self._listed(name, beside(url, sums))
        entry = self._entries.get(name)
        return Expected(entry.sha256, entry.verified) if entry and entry.url == url and entry.verified else None

    def state(self, name: str, url: str, expected: Expected | None) -> State:
        """Compare a file with what it must be."""
        path, entry = self.path / name, self._entries.get(name)
        if not path.is_file():
            return State(name, usable=False, words="missing")
        size_bytes, sha256 = path.stat().st_size, sha256_of(path)
        if expected and sha256 == expected.sha256:
            by_hand = f", {BY_HAND}" if not entry or entry.origin in {"", BY_HAND} else ""
            words = NOT_PINNED.get(expected.verified, f"verified ({expected.verified})") + by_hand
        elif entry and entry.url != url:
            words = "of another version"
        elif expected and expected.verified in {PINNED, SITE}:
            words = f"not the one that is pinned: expected sha256 {expected.sha256}"
        elif expected:
            words = f"damaged or tampered with: expected sha256 {expected.sha256}"
        else:
            words = "not verified: it has no pin, and no verified list of its release names it"
        return State(name, usable=bool(expected and sha256 == expected.sha256), words=words, size_bytes=size_bytes)

    def needed(self, files: Sequence[File]) -> list[File]:
        """The files without the lists of checksums whose files are all pinned."""
        return [
            file
            for file in files
            if not file.lists or not all(self.pinned(name, beside(file.url, name)) for name in file.lists)
        ]

    def images(self) -> dict[str, str]:
        """The digest that was recorded for each image that is named by a tag."""
        return {name: entry.sha256 for name, entry in self._entries.items() if IMAGE.fullmatch(name)}

    def check_list(self, file: File, path: Path, url: str) -> None:
        """Refuse a file that is not a release's list of checksums, or one that is at odds with the project's pins."""
        known = sums_of(path)
        for name in file.lists:
            if name not in known:
                raise ArtifactError(
                    f"unexpected file at {url}: it lists no SHA-256 of {name}; it was deleted: check the network, and "
                    "log in to it if it asks for that"
                )
            pin = self._pins.of(name, beside(file.url, name))
            if pin and pin.verified == PINNED and pin.sha256 != known[name]:
                raise ArtifactError(
                    f"unexpected file at {url}: it lists sha256 {known[name]} of {name}, pinned is {pin.sha256}; it "
                    "was deleted: trust neither before you know why"
                )

    def _listed(self, name: str, url: str) -> Expected | None:
        path = self.path / url.rpartition("/")[2]
        expected = self.expected(path.name, url)
        # A list that was put here by hand proves nothing.
        if not expected or not path.is_file() or sha256_of(path) != expected.sha256:
            return None
        sha256 = sums_of(path).get(name)
        return Expected(sha256, LISTED) if sha256 else None


def beside(url: str, name: str) -> str:
    """The address of another file of the same release."""
    return f"{url.rpartition('/')[0]}/{name}"


def sums_of(path: Path) -> dict[str, str]:
    """SHA-256 by file name in a release's list; lines that are something else are left out."""
    rows = (line.partition(" ") for line in path.read_text("utf-8", errors="replace").splitlines())
    return {name.strip().lstrip("*"): sha256.lower() for sha256, _, name in rows if is_sha256(sha256)}


def default_path() -> Path:
    """``FAASBED_ARTIFACTS``, or ``faasbed/artifacts`` in the user's cache."""
    return Path(os.environ.get("FAASBED_ARTIFACTS") or user_cache_path("faasbed") / "artifacts")
