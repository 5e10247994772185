"""Files of the node, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> str | None:
    """Return the text of a file, or None where there is no such file."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None


def write(
    path: Path, content: str | bytes, mode: int = 0o644, *, folder_mode: int = 0o755, modified_s: int | None = None
) -> None:
    """Put a file in place in one step: a reader sees the old content or the new one, never a part.

    The file has its permissions before it has its content, so a secret is never readable by others.

    Args:
        path: the file; a missing folder is made.
        content: text is written as UTF-8.
        mode: the permissions, whatever the umask is.
        folder_mode: the permissions of the folder if it is made.
        modified_s: the modification time in seconds since 1970; now if it is None.

    Raises:
        OSError: the file cannot be written; what was there is as before.
    """
    path.parent.mkdir(mode=folder_mode, parents=True, exist_ok=True)
    draft = draft_of(path)
    draft.unlink(missing_ok=True)
    data = content.encode() if isinstance(content, str) else content
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
    if modified_s is not None:
        os.utime(draft, times=(modified_s, modified_s))
    draft.replace(path)


def draft_of(path: Path) -> Path:
    """Return where the new content of a file is collected: beside it, hidden, so that replacing it is one step."""
    return path.with_name(f".{path.name}.partial")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _slow(file)


def _slow(file: Any) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(2**20):
        digest.update(chunk)
    return digest.hexdigest()
