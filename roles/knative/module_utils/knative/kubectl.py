"""kubectl: its calls, and what it prints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import attempt

if TYPE_CHECKING:
    import subprocess

# What the server adds or changes by itself.
VOLATILE = ("resourceVersion", "managedFields", "generation", "uid", "creationTimestamp", "selfLink")
QUOTED_CHARACTERS = 600


class KubectlError(NodeError):
    """kubectl failed; the message is one sentence that quotes it."""


class Kubectl:
    """The program that talks to one cluster.

    Args:
        command: program and arguments, as ``["k3s", "kubectl"]``.
    """

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run it and return what came of it, whether or not it failed."""
        return attempt(*self._command, *arguments, text=text)

    def read(self, *arguments: str, text: str = "") -> str:
        """Run it and return what it printed.

        Raises:
            KubectlError: it failed.
        """
        done = self.run(*arguments, text=text)
        if done.returncode:
            shown = " ".join(one for one in arguments if not one.startswith("-"))
            raise KubectlError(f"kubectl {shown} failed: {complaint(done.stderr) or f'exit code {done.returncode}'}")
        return done.stdout

    def objects(self, *arguments: str, text: str = "") -> list[dict[str, Any]]:
        """Run it with ``-o json`` and return the objects it printed, a list's items one by one.

        Raises:
            KubectlError: it failed.
        """
        return parse(self.read(*arguments, "-o", "json", text=text))


def parse(printed: str) -> list[dict[str, Any]]:
    """Return the objects of JSON texts behind one another, which is what ``-o json`` prints; a list's are its items."""
    decoder, place = json.JSONDecoder(), 0
    objects: list[dict[str, Any]] = []
    while place < len(printed.rstrip()):
        value, end = decoder.raw_decode(printed, place)
        objects.extend(value["items"] if value.get("kind") == "List" else [value])
        place = end + (len(printed[end:]) - len(printed[end:].lstrip()))
    return objects


def complaint(output: str) -> str:
    """Return the end of a program's error output on one line, without warnings."""
    line = "; ".join(line.strip() for line in output.splitlines() if line.strip() and not line.startswith("Warning:"))
    return line if len(line) <= QUOTED_CHARACTERS else f"... {line[-QUOTED_CHARACTERS:]}"


def name_of(thing: dict[str, Any]) -> str:
    """Return what an object is called, as ``Deployment knative-serving/activator``."""
    metadata = thing["metadata"]
    return f"{thing['kind']} {metadata['namespace'] + '/' if metadata.get('namespace') else ''}{metadata['name']}"


def declared_part(thing: dict[str, Any]) -> dict[str, Any]:
    """Return an object without its status and without what the server keeps about it."""
    metadata = {key: value for key, value in thing["metadata"].items() if key not in VOLATILE}
    return {key: value for key, value in thing.items() if key != "status"} | {"metadata": metadata}
