"""Another function: it counts a text's words, or does what a test needs of it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from app.errors import Cancelled, InputError


class Request(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    does: Literal["count", "wait", "fail", "hoard", "fill"] = "count"
    until: str = ""  # a file; "wait" ends when it appears


class Outcome(NamedTuple):
    reply: dict[str, object]
    phases_ms: dict[str, float]


def run(request: Request, cancelled: Callable[[], bool]) -> Outcome:
    started = time.perf_counter()
    if not request.text:
        raise InputError("The text is empty; send some words.")
    if request.does == "fail":
        raise RuntimeError("the secret reason")
    if request.does == "hoard":
        raise MemoryError
    held = []
    while request.does == "fill":  # until the kernel ends the process
        held.append(b"x" * 2**24)
    while request.does == "wait" and not Path(request.until).exists():
        if cancelled():
            raise Cancelled
        time.sleep(0.005)
    return Outcome({"words": len(request.text.split())}, {"count": (time.perf_counter() - started) * 1e3})
