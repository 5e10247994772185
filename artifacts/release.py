"""Which files a testbed needs, by architecture, and where their projects publish them.

The versions are defaults of the roles that deploy them, and written nowhere else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import yaml

from artifacts.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Sequence

ROLES = Path(__file__).resolve().parent.parent / "roles"
# Read in this order: a later file's values replace an earlier one's.
SOURCES = tuple(ROLES / role / "defaults" / "main.yml" for role in ("k3s", "knative"))
# The part of a release's address that FAASBED_MIRROR stands for.
ORIGIN = "https://github.com"
ARCHITECTURES = ("amd64", "arm64")
# What uname(2) calls them.
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
MANIFESTS = ("serving-crds.yaml", "serving-core.yaml", "kourier.yaml")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a release.

    Attributes:
        name: what it is called at the release and in the folder.
        url: its address at its project.
        sums: the file of the same release that lists its SHA-256, where there is one.
        lists: the files whose SHA-256 it lists, where it is such a list.
        executable: whether it is a program.
    """

    name: str
    url: str
    sums: str = ""
    lists: tuple[str, ...] = ()
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """The files to download, and the architectures whose images to pack."""

    files: tuple[File, ...]
    architectures: tuple[str, ...]


def architectures_of(name: str) -> tuple[str, ...]:
    """The architectures that ``amd64``, ``arm64``, ``all`` or nothing (this machine's own) stands for.

    Raises:
        ArtifactError: it is none of these, or this machine is of another kind.
    """
    if name == "all":
        return ARCHITECTURES
    architecture = name or MACHINES.get(os.uname().machine, os.uname().machine)
    if architecture not in ARCHITECTURES:
        raise ArtifactError(f"unsupported architecture {architecture}: expected ARCH=amd64, arm64 or all")
    return (architecture,)


def load(architectures: Sequence[str], sources: Sequence[Path] = SOURCES) -> Release:
    """The files that the versions in the sources stand for.

    Raises:
        ArtifactError: a key is missing, or an address names one that does not exist.
    """
    values: dict[str, Any] = {}
    for source in sources:
        values |= yaml.safe_load(source.read_text("utf-8"))
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 # addresses
    try:
        k3s, knative, kourier = (
            environment.from_string(values[f"{project}_release_url"]).render(values)
            for project in ("k3s", "knative", "knative_kourier")
        )
    except (KeyError, jinja2.UndefinedError) as error:
        raise ArtifactError(f"{', '.join(map(str, sources))} lack a value: {error}") from error
    files = []
    for architecture in architectures:
        sums, binary, images = files_of_k3s(architecture)
        files += [
            File(sums, f"{k3s}/{sums}", lists=(binary, images)),
            File(binary, f"{k3s}/{binary}", sums, executable=True),
            File(images, f"{k3s}/{images}", sums),
        ]
    files += [File(name, f"{kourier if name == 'kourier.yaml' else knative}/{name}") for name in MANIFESTS]
    return Release(tuple(files), tuple(architectures))


def files_of_k3s(architecture: str) -> tuple[str, str, str]:
    """The names of k3s' list of checksums, of its binary and of its own images."""
    binary = "k3s" if architecture == "amd64" else f"k3s-{architecture}"
    return f"sha256sum-{architecture}.txt", binary, f"k3s-airgap-images-{architecture}.tar.zst"


def names() -> tuple[str, ...]:
    """The names of all files of all architectures."""
    return (
        *(name for architecture in ARCHITECTURES for name in files_of_k3s(architecture)),
        *MANIFESTS,
        *(archive_of(architecture) for architecture in ARCHITECTURES),
    )


def archive_of(architecture: str) -> str:
    """The name of the archive that holds all images of Serving, Kourier and Envoy."""
    return f"knative-images-{architecture}.tar.zst"
