"""The password with which the nodes' user becomes root: asked for once, never in a file, an argument or a log."""

from __future__ import annotations

import getpass
import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Of Ansible: it would ask by itself, where nobody sees the question.
ASKED_BY = "ANSIBLE_BECOME_ASK_PASS"


class Password:
    """A password that Ansible reads from a pipe.

    Args:
        text: the password.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @contextmanager
    def served(self, folder: Path) -> Iterator[Path]:
        """Yield a named pipe in a folder of this user's, from which one program reads the password once."""
        pipe = folder / "become"
        os.mkfifo(pipe, 0o600)
        server = threading.Thread(target=self._serve, args=(pipe,), daemon=True)
        server.start()
        try:
            yield pipe
        finally:
            # Where nobody has read it, the thread still waits for a reader.
            with suppress(OSError):
                os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
            server.join()
            pipe.unlink()

    def _serve(self, pipe: Path) -> None:
        with suppress(BrokenPipeError), pipe.open("w", encoding="utf-8") as opened:
            opened.write(self._text)


def is_asked_for() -> bool:
    """Return whether the environment tells Ansible to ask."""
    return os.environ.get(ASKED_BY, "").lower() in ("1", "true", "yes", "on")


def ask() -> Password:
    """Ask on the terminal, or read a line of the standard input where that is none."""
    if sys.stdin.isatty():
        return Password(getpass.getpass("sudo password of the nodes: "))
    return Password(sys.stdin.readline().rstrip("\n"))
