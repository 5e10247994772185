"""``python -m artifacts``: download what real nodes are made of, list what is there and what is missing."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from artifacts import download, images, release
from artifacts.errors import ArtifactError
from artifacts.folder import Folder, State, default_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from artifacts.release import File, Release

INTERRUPTED = 130
MEGA = 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns 0, 1 where a file is missing or cannot be had, 130 where it was stopped."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        files = release.load(release.architectures_of(options.arch))
        if options.command == "download":
            _download(options.folder, files)
        return _list(Folder(options.folder, files.pins), files)
    except ArtifactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename or options.folder}: {error.strerror}; set FAASBED_ARTIFACTS", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run it again to resume", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m artifacts", description=__doc__)
    parser.add_argument("command", choices=["download", "list"], help="download what is missing, or only list it")
    parser.add_argument("--arch", default="", help="amd64, arm64 or all (this machine's own)")
    parser.add_argument("--folder", type=Path, default=default_path(), metavar="DIR", help="FAASBED_ARTIFACTS")
    return parser


def _download(path: Path, needed: Release) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise ArtifactError(f"another download into {path} is under way; wait for it to end") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error.strerror}; set FAASBED_ARTIFACTS") from error
    console = Console(highlight=False, soft_wrap=True)
    try:
        folder = Folder(path, needed.pins)
        with download.client() as http:
            for file in needed.files:
                _download_file(folder, file, http, console)
        for architecture in needed.architectures:
            _pack_images(folder, architecture, console)
    finally:
        lock.release()


def _download_file(folder: Folder, file: File, http: httpx.Client, console: Console) -> None:
    state = folder.state(file.name, file.url, folder.expected(file))
    if state.kind != "good":
        mirror = os.environ.get("FAASBED_MIRROR", "").rstrip("/") or release.ORIGIN
        columns = (TextColumn(file.name), BarColumn(20), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(file.name, total=None)

            def meter(done_bytes: int, total_bytes: int | None) -> None:
                progress.update(task, completed=done_bytes, total=total_bytes)

            url = file.url.replace(release.ORIGIN, mirror, 1)
            known = folder.expected(file)
            sha256 = download.fetch(http, url, folder.path / file.name, known, meter)
        if file.executable:
            (folder.path / file.name).chmod(0o755)
        trust = "verified" if known else f"the first download is trusted; its sha256 is recorded: {sha256}"
        console.print(f"{file.name}: downloaded, {trust}")
    else:
        sha256 = str(folder.expected(file))
    folder.record(file.name, file.url, sha256)


def _pack_images(folder: Folder, architecture: str, console: Console) -> None:
    name = release.archive_of(architecture)
    if _archive_state(folder, architecture).kind == "good":
        return
    images.check_programs()
    store, partial = folder.path / f"{name}.blobs", folder.path / f"{name}.partial"
    names, pulled = _images(folder), []
    for number, image in enumerate(names, 1):
        console.print(f"{name}: image {number} of {len(names)}, {image}")
        sha256 = images.pull(image, architecture, store, lambda image: folder.recorded(image, image))
        if "@" not in image:
            folder.record(image, image, sha256)
        pulled.append((image, sha256))
    images.pack(pulled, store, partial, architecture)
    partial.replace(folder.path / name)
    folder.record(name, _contents(folder), download.sha256_of(folder.path / name))
    shutil.rmtree(store)
    console.print(f"{name}: packed")


def _images(folder: Folder) -> list[str]:
    return sorted({image for name in release.MANIFESTS for image in images.images_of(folder.path / name)})


def _contents(folder: Folder) -> str:
    """What an archive is made of, as one word in place of an address: a digest over the images' names and digests."""
    digests = [(image, folder.recorded(image, image)) for image in _images(folder)]
    return f"images:{hashlib.sha256(json.dumps(digests).encode()).hexdigest()}"


def _archive_state(folder: Folder, architecture: str) -> State:
    name = release.archive_of(architecture)
    manifests_there = all((folder.path / manifest).is_file() for manifest in release.MANIFESTS)
    contents = _contents(folder) if manifests_there else ""
    return folder.state(name, contents, folder.recorded(name, contents))


def _list(folder: Folder, needed: Release) -> int:
    states = [folder.state(file.name, file.url, folder.expected(file)) for file in needed.files]
    states += [_archive_state(folder, architecture) for architecture in needed.architectures]
    print(folder.path)
    for state in states:
        size = f"{state.size_bytes / MEGA:.1f} MB" if state.size_bytes else ""
        print(f"  {state.name:34} {size:>9}  {state.words}")
    absent = sum(not state.usable for state in states)
    print(f"{len(states) - absent} of {len(states)} usable{'; run: make artifacts' if absent else ''}")
    return 1 if absent else 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
