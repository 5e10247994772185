"""One file by HTTP: resumed where it was cut off, verified before it gets its name."""

from __future__ import annotations

import errno
import hashlib
import shutil
import time
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol

import httpx

from artifacts.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# How often a download may fail without a byte of progress before it is given up, and the wait after the first failure.
ATTEMPTS = 4
PAUSE_S = 1.0
TIMEOUT_S = 30.0


class Meter(Protocol):
    """Told how far a file is: bytes that are there, bytes in all (None: the server does not say)."""

    def __call__(self, done_bytes: int, total_bytes: int | None) -> None:
        """Show it."""


class Check(Protocol):
    """Refuses a file by what it holds."""

    def __call__(self, path: Path) -> None:
        """Raise ArtifactError where it is not what it must be."""


def client() -> httpx.Client:
    """A client that follows a release's redirections, by HTTPS only, and heeds the usual proxy variables."""
    return httpx.Client(
        follow_redirects=True,
        timeout=TIMEOUT_S,
        # Nothing may be packed on the way: a resumed download counts the file's own bytes.
        headers={"Accept-Encoding": "identity"},
        event_hooks={"request": [_refuse_plain]},  # it sees each redirection too
    )


def _refuse_plain(request: httpx.Request) -> None:
    if request.url.scheme != "https" and not _is_here(request.url.host):
        raise ArtifactError(
            f"{request.url} is not HTTPS, so anybody on the way could replace the file; correct FAASBED_MIRROR "
            "(plain HTTP is taken from a loopback address only)"
        )


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(
    http: httpx.Client,
    url: str,
    path: Path,
    sha256: str | None,
    meter: Meter,
    *,
    check: Check | None = None,
    pause_s: float = PAUSE_S,
) -> str:
    """Download ``url`` to ``path`` and return its SHA-256, which has to be ``sha256`` where that is known.

    ``check`` looks at what was downloaded before it gets its name.

    Until then the bytes are in ``path`` with ``.partial`` behind its name, where the next call goes on. A file whose
    SHA-256 is not known is downloaded from its start: nothing would show that it was put together from two versions.

    Raises:
        ArtifactError: the file is not there, no network, not HTTPS, a web page in its place, cut off again and again,
            tampered with, no room on the disk.
    """
    partial = path.with_name(f"{path.name}.partial")
    with _room_for(path):
        if sha256 is None:
            partial.unlink(missing_ok=True)
        resumed = partial.exists()
        _fetch_all(http, url, partial, meter, pause_s)
        actual = sha256_of(partial)
        if resumed and sha256 not in {None, actual}:
            # What was there before may be another version's beginning: only a whole download proves anything.
            partial.unlink()
            _fetch_all(http, url, partial, meter, pause_s)
            actual = sha256_of(partial)
        if sha256 not in {None, actual}:
            partial.unlink()
            raise ArtifactError(
                f"unexpected file at {url}: expected sha256 {sha256}, got {actual}; it was deleted: "
                "try again or from another mirror, and trust neither until they agree"
            )
        if check:
            try:
                check(partial)
            except ArtifactError:
                partial.unlink()
                raise
        partial.replace(path)
    return actual


def _fetch_all(http: httpx.Client, url: str, partial: Path, meter: Meter, pause_s: float) -> None:
    failures = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            reason = _fetch_rest(http, url, partial, meter)
            if not reason:
                return
        except httpx.InvalidURL as error:
            raise ArtifactError(f"invalid address {url}: {error}; correct FAASBED_MIRROR") from error
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        after = partial.stat().st_size if partial.exists() else 0
        failures = 0 if after > before else failures + 1
        if failures == ATTEMPTS:
            raise ArtifactError(
                f"{url} was cut off {ATTEMPTS} times ({reason}); {after} bytes are kept: run it again to resume"
                if after
                else f"{url} cannot be reached ({reason}); check the network and the proxy, or set FAASBED_MIRROR"
            )
        time.sleep(pause_s * 2**failures)


def _fetch_rest(http: httpx.Client, url: str, partial: Path, meter: Meter) -> str:
    """Ask for what is missing and append it; returns why it has to be asked again, or nothing."""
    done = partial.stat().st_size if partial.exists() else 0
    with http.stream("GET", url, headers={"Range": f"bytes={done}-"} if done else {}) as reply:
        status = reply.status_code
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if reply.headers.get("Content-Range") == f"bytes */{done}":
                return ""
            partial.unlink()
            return "the file is shorter than what is there"
        if status == httpx.codes.TOO_MANY_REQUESTS or reply.is_server_error:
            return f"HTTP {status}"
        if not reply.is_success:
            raise ArtifactError(
                f"{url} does not exist (HTTP {status}); check the versions in the defaults of roles/k3s and "
                "roles/knative, and that FAASBED_MIRROR, if set, holds them"
            )
        if reply.headers.get("Content-Type", "").startswith("text/html"):
            raise ArtifactError(
                f"{url} gives a web page instead of the file, as networks do that ask for a login first; log in to the "
                "network, or correct FAASBED_MIRROR, and run it again"
            )
        if not reply.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            done = 0  # the server sends the whole file
        length = reply.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else None
        if total is not None and (free := shutil.disk_usage(partial.parent).free) < total - done:
            raise OSError(errno.ENOSPC, f"{total - done} bytes are to come, {free} are free")
        with partial.open("ab" if done else "wb") as file:
            for piece in reply.iter_raw():
                file.write(piece)
                done += len(piece)
                meter(done, total)
    return ""


@contextmanager
def _room_for(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise ArtifactError(f"{path} cannot be written: {error.strerror}; set FAASBED_ARTIFACTS") from error
        raise ArtifactError(
            f"no room for {path} ({error.strerror}); free some, or set FAASBED_ARTIFACTS to a folder elsewhere"
        ) from error
