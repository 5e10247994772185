"""``python -m artifacts``: download what real nodes are made of, list what is there and what is missing."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from artifacts import archive, download, pins, release
from artifacts.errors import ArtifactError
from artifacts.folder import Folder, default_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from artifacts.release import File, Release

INTERRUPTED = 130
MEGA = 1e6
HEAD = """\
# What is in {folder}, for `make artifacts PINS=FILE`.
# Whoever passes this file vouches for them: before you do, compare each SHA-256 with one that was computed on another
# machine and network.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns 0, 1 where a file is missing or cannot be had, 130 where it was stopped."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        files = release.load(release.architectures_of(options.arch))
        known = pins.load(release.names(), options.pins)
        if options.command == "download":
            _download(options.folder, files, known)
        folder = Folder(options.folder, known)
        return _print_pins(folder, files) if options.command == "pins" else _list(folder, files)
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
    commands = {
        "download": "download what is missing",
        "list": "list what is there",
        "pins": "print a pins file for what is there",
    }
    explained = "; ".join(f"{name}: {words}" for name, words in commands.items())
    parser.add_argument("command", choices=list(commands), help=explained)
    parser.add_argument("--arch", default="", help="amd64, arm64 or all (this machine's own)")
    parser.add_argument("--folder", type=Path, default=default_path(), metavar="DIR", help="FAASBED_ARTIFACTS")
    named = os.environ.get("FAASBED_PINS") or None
    parser.add_argument(
        "--pins", type=Path, default=named, metavar="FILE", help="SHA-256 of files of your own, FAASBED_PINS"
    )
    return parser


def _download(path: Path, needed: Release, known: pins.Pins) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise ArtifactError(f"another download into {path} is under way; wait for it to end") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error.strerror}; set FAASBED_ARTIFACTS") from error
    console = Console(highlight=False, soft_wrap=True, markup=False)
    try:
        folder = Folder(path, known)
        files = folder.needed(needed.files)
        for file in files:
            if not (file.sums or file.lists) and not folder.expected(file.name, file.url):
                raise ArtifactError(_without_pin(file.url))
        with download.client() as http:
            for file in files:
                _download_file(folder, file, http, console)
        for architecture in needed.architectures:
            archive.complete(folder, architecture, console.print)
    finally:
        lock.release()


def _download_file(folder: Folder, file: File, http: httpx.Client, console: Console) -> None:
    expected = folder.expected(file.name, file.url, file.sums)
    if folder.state(file.name, file.url, expected).usable and expected:
        folder.record(file.name, file.url, expected)
        return
    if not expected and not file.lists:
        raise ArtifactError(f"{file.sums} does not list {file.name}; {_without_pin(file.url)}")
    mirror = os.environ.get("FAASBED_MIRROR", "").rstrip("/") or release.ORIGIN
    columns = (TextColumn(file.name), BarColumn(20), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(file.name, total=None)

        def meter(done_bytes: int, total_bytes: int | None) -> None:
            progress.update(task, completed=done_bytes, total=total_bytes)

        def check(path: Path) -> None:
            folder.check_list(file, path, url)

        url = file.url.replace(release.ORIGIN, mirror, 1)
        known = expected.sha256 if expected else None
        checks = check if file.lists else None
        sha256 = download.fetch(http, url, folder.path / file.name, known, meter, check=checks)
    if file.executable:
        (folder.path / file.name).chmod(0o755)
    folder.record(file.name, file.url, expected or pins.Expected(sha256, pins.HTTPS), origin=url)
    console.print(f"{file.name}: downloaded")


def _without_pin(url: str) -> str:
    return (
        f"{url} has no pin, so nothing shows that it is what its project published: give its SHA-256 in a pins file, "
        "FAASBED_PINS=FILE (docs/artifacts.md)"
    )


def _list(folder: Folder, needed: Release) -> int:
    states = [
        folder.state(file.name, file.url, folder.expected(file.name, file.url, file.sums))
        for file in folder.needed(needed.files)
    ]
    states += [archive.state(folder, architecture) for architecture in needed.architectures]
    print(folder.path)
    for state in states:
        size = f"{state.size_bytes / MEGA:.1f} MB" if state.size_bytes else ""
        print(f"  {state.name:34} {size:>9}  {state.words}")
    absent = sum(not state.usable for state in states)
    print(f"{len(states) - absent} of {len(states)} usable{'; run: make artifacts' if absent else ''}")
    return 1 if absent else 0


def _print_pins(folder: Folder, needed: Release) -> int:
    names = [file.name for file in needed.files if not file.lists]
    names += [release.archive_of(architecture) for architecture in needed.architectures]
    held = {name: download.sha256_of(folder.path / name) for name in names if (folder.path / name).is_file()}
    print(HEAD.format(folder=folder.path) + pins.dump(held | folder.images()), end="")
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
