"""The SHA-256 that files and images must have: the project's own pins, and those of a site's own file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import yaml

from artifacts.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

# How a file was verified, as artifacts.json and a run's manifest tell it.
PINNED = "pinned"
SITE = "site's pins"
LISTED = "release list"
HTTPS = "HTTPS"
DIGESTS = "image digests"
SIGNED = "image digests, signatures and provenance"

PROJECT = Path(__file__).resolve().parent / "checksums.yml"
KEY = "artifacts_sha256"
IMAGE = re.compile(r"[\w.-]+(:\d+)?(/[\w.-]+)+:[\w.-]+")


@dataclass(frozen=True, slots=True)
class Expected:
    """The SHA-256 of a file in hexadecimal digits, and how it is known."""

    sha256: str
    verified: str


class Pins:
    """SHA-256 by address or tagged image, and, in a site's file, by the name of a file too. The site's come first."""

    def __init__(self, project: Mapping[str, str], site: Mapping[str, str]) -> None:
        self._project = project
        self._site = site

    def of(self, name: str, url: str) -> Expected | None:
        """The pin of a file that stands for an address; None where there is none."""
        url = unquote(url)
        for pins, key, verified in ((self._site, url, SITE), (self._site, name, SITE), (self._project, url, PINNED)):
            if key in pins:
                return Expected(pins[key], verified)
        return None


def load(names: Collection[str], site: Path | None = None) -> Pins:
    """The project's pins, and those of a site's file where it is given.

    Args:
        names: the names of the files that there are.
        site: the site's file.

    Raises:
        ArtifactError: a file cannot be read, names a file that does not exist, or has something else than a SHA-256.
    """
    return Pins(_read(PROJECT, ()), _read(site, names) if site else {})


def dump(pins: Mapping[str, str]) -> str:
    """The text of a pins file."""
    return yaml.safe_dump({KEY: dict(pins)}, default_flow_style=False, width=1000)


def _read(path: Path, names: Collection[str]) -> dict[str, str]:
    try:
        # Strings only: YAML would read a SHA-256 of digits as a number.
        content = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 # it makes no objects
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"the pins file {path} cannot be read: {error}; correct FAASBED_PINS") from error
    except yaml.YAMLError as error:
        raise ArtifactError(f"the pins file {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or list(content) != [KEY] or not isinstance(content[KEY], dict):
        raise ArtifactError(f"the pins file {path}: expected one key, {KEY}, with a SHA-256 for each file")
    for key, sha256 in content[KEY].items():
        if not key.startswith("https://") and key not in names and not IMAGE.fullmatch(key):
            raise ArtifactError(
                f"the pins file {path}: unknown file {key!r}: expected an https address, an image with its tag, or one "
                f"of {', '.join(names)}"
            )
        if not isinstance(sha256, str) or not is_sha256(sha256):
            raise ArtifactError(
                f"the pins file {path}: invalid SHA-256 {sha256!r} of {key}: expected 64 hexadecimal digits"
            )
    return {unquote(key): sha256.lower() for key, sha256 in content[KEY].items()}


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 in hexadecimal digits."""
    return re.fullmatch(r"[0-9a-fA-F]{64}", text) is not None
