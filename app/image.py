"""``python -m app.image``: build the function's image with whichever of buildah, podman and docker is there."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from app.versions import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FOLDER = Path(__file__).resolve().parent
REFERENCE = "localhost/faasbed-function:latest"
# Beside the archive: the base, where it was not on this machine before the build.
PULLED = "function.base"
ENGINES = ("buildah", "podman", "docker")
# The names under which PyPI has wheels for Linux, by what OCI calls the architecture (PEP 600).
WHEELS = {"amd64": "x86_64", "arm64": "aarch64"}
GLIBCS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
PYTHON = "3.11"
PIECE_BYTES = 2**20
# Every node unpacks all of it, zstd several times faster than gzip; containerd reads it since 1.5, docker since 23.
COMPRESSION = "--compression-format=zstd"


class ImageError(RuntimeError):
    """The image cannot be built; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Archive:
    """What an OCI archive says of itself: its image's digest, and the bytes of its layers, packed and unpacked."""

    digest: str
    packed_bytes: int
    unpacked_bytes: int


def read_archive(path: Path) -> Archive:
    """The one image in an OCI archive (OCI image-spec, image-layout.md).

    Raises:
        ImageError: the archive holds no image, or more than one.
    """
    with tarfile.open(path) as archive:

        def read(name: str) -> bytes:
            file = archive.extractfile(name)
            return b"" if file is None else file.read()

        def blob(digest: str) -> bytes:
            return read("blobs/" + digest.replace(":", "/"))

        images = json.loads(read("index.json"))["manifests"]
        if len(images) != 1:
            raise ImageError(f"{path} holds {len(images)} images; expected one")
        digest: str = images[0]["digest"]
        layers = json.loads(blob(digest))["layers"]
        packed = sum(layer["size"] for layer in layers)
        return Archive(digest, packed, sum(_unpacked_bytes(blob(layer["digest"])) for layer in layers))


def _unpacked_bytes(layer: bytes) -> int:
    if layer.startswith(b"\x28\xb5\x2f\xfd"):
        with zstandard.ZstdDecompressor().stream_reader(layer, read_across_frames=True) as pieces:
            return sum(len(piece) for piece in iter(lambda: pieces.read(PIECE_BYTES), b""))
    if not layer.startswith(b"\x1f\x8b"):
        return len(layer)
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    return sum(len(unpacker.decompress(layer[at : at + PIECE_BYTES])) for at in range(0, len(layer), PIECE_BYTES))


def find_engine(works: Callable[[str], bool]) -> str:
    """The first of buildah, podman and docker that ``works``; raises ImageError where none does."""
    for engine in ENGINES:
        if works(engine):
            return engine
    raise ImageError("None of buildah, podman and docker works here; install one, e.g. apt-get install buildah.")


def engine_works(engine: str) -> bool:
    """Whether a program of this name is there and, for docker, its daemon answers."""
    if shutil.which(engine) is None:
        return False
    return subprocess.run([engine, "info"], capture_output=True, check=False).returncode == 0


def commands(engine: str, context: Path, archive: Path, arguments: Sequence[str]) -> list[list[str]]:
    """What to run, one after the other, so that ``context`` becomes an image and the image ``archive``."""
    # The wheels are in the context. With a network the engine would leave a bridge and firewall rules on this machine.
    tail = ["--network=none", "--tag", REFERENCE, "--file", str(context / "Dockerfile"), *arguments, str(context)]
    if engine == "docker":
        kind = ["--provenance=false", "--output", f"type=oci,dest={archive},compression=zstd,force-compression=true"]
        return [["docker", "buildx", "build", *kind, *tail]]
    push = [engine, "push", COMPRESSION, REFERENCE, f"oci-archive:{archive}"]
    return [[engine, "build", "--format", "oci", "--layers=false", *tail], push]


def remove(engine: str, output: Path) -> None:
    """Remove what :func:`build` left: the image, its base where the build brought it here, and its files.

    docker keeps neither image; its build cache is its own (``docker builder prune``).
    """
    names = [REFERENCE]
    pulled = output / PULLED
    if pulled.exists():
        names.append(pulled.read_text("utf-8").strip())
    for name in names if engine != "docker" else ():
        if _has(engine, name):
            _run([engine, "rmi", name])
    for file in ("function.oci.tar", "function.digest", PULLED):
        (output / file).unlink(missing_ok=True)


def _has(engine: str, image: str) -> bool:
    return subprocess.run([engine, "inspect", "--type=image", image], capture_output=True, check=False).returncode == 0


def _base_of(base: str | None) -> str:
    """The base that is named, or the Dockerfile's."""
    lines = (FOLDER / "Dockerfile").read_text("utf-8").splitlines()
    return base or next(line.partition("=")[2] for line in lines if line.startswith("ARG BASE_IMAGE="))


def _run(command: Sequence[str]) -> None:
    ended = subprocess.run(command, check=False)
    if ended.returncode != 0:
        raise ImageError(f"{' '.join(command[:2])} ended with status {ended.returncode}; its output is above")


def _revision() -> str:
    """The git commit this is built from, with ``-dirty`` where files of the function differ from it."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=FOLDER, capture_output=True, text=True, check=True)
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--", "."], cwd=FOLDER, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("-dirty" if changes.stdout else "")


def _fill(context: Path, architecture: str) -> None:
    """Lay out the build's context: the code, the lock, and the locked wheels, fetched as pip is configured here."""
    for file in (*FOLDER.rglob("*.py"), FOLDER / "requirements.txt", FOLDER / "Dockerfile"):
        copy = context / file.relative_to(FOLDER)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    names = [f"--platform={glibc}_{WHEELS[architecture]}" for glibc in GLIBCS]
    lock = str(FOLDER / "requirements.txt")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    locked = ["--require-hashes", "--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp", *names]
    _run([*pip, *locked, "--dest", str(context / "wheels"), "--requirement", lock])


def build(engine: str, output: Path, architecture: str, base: str | None) -> Archive:
    """Build the image and write ``function.oci.tar`` and ``function.digest`` into the folder ``output``.

    Raises:
        ImageError: pip or the engine failed.
    """
    output.mkdir(parents=True, exist_ok=True)
    archive = output / "function.oci.tar"
    labels = {"title": "faasbed-function", "version": VERSION, "revision": _revision()}
    arguments = [f"--label=org.opencontainers.image.{name}={value}" for name, value in labels.items()]
    arguments += ["--platform", f"linux/{architecture}", "--build-arg", "PIP_NO_INDEX=1"]
    if base:
        arguments += ["--build-arg", f"BASE_IMAGE={base}"]
    if engine != "docker" and not _has(engine, _base_of(base)):
        (output / PULLED).write_text(_base_of(base) + "\n", "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        _fill(context, architecture)
        archive.unlink(missing_ok=True)
        for command in commands(engine, context, archive.resolve(), arguments):
            _run(command)
    image = read_archive(archive)
    (output / "function.digest").write_text(image.digest + "\n")
    return image


def main(arguments: list[str] | None = None) -> int:
    """Build, and print where the archive is, its digest and its size."""
    here = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "amd64")
    parser = argparse.ArgumentParser(prog="python -m app.image", description="Build the function's image.")
    parser.add_argument("--base", default=os.environ.get("BASE_IMAGE"), help="base image (default: as in Dockerfile)")
    parser.add_argument("--architecture", choices=WHEELS, default=here, help="default: this machine's, %(default)s")
    parser.add_argument("--output", type=Path, default=Path("build"), help="folder for the archive (default: build)")
    parser.add_argument("--engine", choices=ENGINES, help="default: the first that works")
    parser.add_argument("--remove", action="store_true", help="remove what a build left: images and archive")
    options = parser.parse_args(arguments)
    try:
        engine = options.engine or find_engine(engine_works)
        if options.remove:
            remove(engine, options.output)
            return 0
        archive = build(engine, options.output, options.architecture, options.base)
    except ImageError as error:
        print(f"python -m app.image: {error}", file=sys.stderr)
        return 1
    print(f"{options.output / 'function.oci.tar'}: {archive.digest}")
    print(f"{archive.packed_bytes / 1e6:.0f} MB to pull, {archive.unpacked_bytes / 1e6:.0f} MB unpacked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
