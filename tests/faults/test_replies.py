"""Faults of what a service replies: that repetition failed, and whoever reads of it is safe."""

from __future__ import annotations

import gzip
import io
import json
import os
import pty
import re
import threading
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest
from loopback import Reply, Request
from measured import CUBIC, followed, models, pid_of, planned, requests, told, trained
from rich.console import Console

from experiments.progress import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BAD_REPLIES = [
    Reply(json.dumps({"best parameters": {}, "accuracy (validation)": "good"}).encode()),
    Reply(b'{"best parameters": {}, "accuracy (validation)": NaN}'),
    Reply(b'{"best parameters": {}, "replica": 7}'),
    Reply(b'{"best parameters": {}, "node": ["edge-1"]}'),
    Reply(b'{"best parameters": {"C": {"C": 1}}}'),
    Reply(b"[" * 100_000),
    Reply(b"\xff\xfe\x00"),
    Reply(b"<html>\x1b[31m" + b"x" * 5000),
    Reply(b'{"best parameters": {}}', headers={"Server-Timing": "parse;dur=abc"}),
    Reply(b'{"best parameters": {}}', headers={"Server-Timing": "parse;dur=inf"}),
    Reply(b'{"best parameters": {}}', headers={"Server-Timing": "parse;dur=-1"}),
]


@CUBIC
@pytest.mark.fault(
    what="a reply holds values of other kinds: a text for an accuracy, a list for a node, a page",
    step="measure",
    on="loopback",
    seen="that repetition failed, with the beginning of the reply on record; the driver goes on with the next one",
    lost="that repetition",
    ends="at once",
    reads="unexpected …; it answered: …",
)
def test_a_bad_reply_is_its_repetitions_failure_with_its_body_and_the_run_goes_on(
    tmp_path: Path, reads: Callable[[str], None]
) -> None:
    def respond(number: int, request: Request) -> Reply:
        bad = number % 2 == 0 and number // 2 < len(BAD_REPLIES)
        return BAD_REPLIES[number // 2] if bad else trained(number, request)

    count = len(BAD_REPLIES) + 1
    with planned(tmp_path, respond, repetitions=count):
        told("start", tmp_path)
        ended = followed(tmp_path, count)
    assert (ended["state"], ended["finished"]) == ("done", count), ended
    assert [model.error is None for model in models(tmp_path)] == [False] * len(BAD_REPLIES) + [True]
    failed = [str(request.error) for request in requests(tmp_path) if request.error]
    assert len(failed) == len(BAD_REPLIES)
    for error in failed:
        reads(error)
        assert len(error) < 700
        assert error.isprintable()


def bomb(mebibytes: int = 4096) -> bytes:
    """Return the beginning of a gzip file that unpacks to so many zeros."""
    packed = zlib.compressobj(9, wbits=31)
    first = packed.compress(bytes(1 << 20)) + packed.flush(zlib.Z_FULL_FLUSH)
    return first + mebibytes * (packed.compress(bytes(1 << 20)) + packed.flush(zlib.Z_FULL_FLUSH))


@CUBIC
@pytest.mark.long
@pytest.mark.fault(
    what="a reply is a bomb: 4 MB of gzip that unpack to 4 GiB, once or twice packed",
    step="measure",
    on="loopback",
    seen="the reply is read to its limit only: that repetition failed, the driver goes on with the next one",
    lost="that repetition",
    ends="at once",
    reads=["answered with more than 64 MiB: …", "answered in the encoding 'gzip, gzip', expected gzip or none"],
)
def test_a_bomb_is_its_repetitions_failure_and_takes_no_memory(tmp_path: Path, reads: Callable[[str], None]) -> None:
    once = bomb()
    replies = {0: Reply(once, headers={"Content-Encoding": "gzip"})}
    replies[2] = Reply(gzip.compress(once), headers={"Content-Encoding": "gzip, gzip"})
    with planned(tmp_path, lambda number, request: replies.get(number) or trained(number, request)) as served:
        served.hold_from(4)
        told("start", tmp_path)
        served.wait_for(6)
        status = Path(f"/proc/{pid_of(tmp_path)}/status").read_text()
        served.release()
        assert followed(tmp_path)["state"] == "done"
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    assert int(peak[1]) < 512 << 10, "kB: the driver itself, and a reply at its limit"
    assert [model.error is None for model in models(tmp_path)] == [False, False, True]
    reads(" ".join(str(model.error) for model in models(tmp_path)))


@CUBIC
@pytest.mark.parametrize("is_terminal", [False, True], ids=["a pipe", "a terminal"])
@pytest.mark.fault(
    what="a service answers with what a terminal obeys: markup and control characters",
    step="measure",
    on="loopback",
    seen="that repetition failed; its line of progress shows the answer with the control characters replaced",
    lost="that repetition",
    ends="at once",
    reads="answered 500: [/docs] \N{REPLACEMENT CHARACTER}[2J[red]gone\N{REPLACEMENT CHARACTER}",
)
def test_what_a_service_answers_is_printed_and_not_obeyed(
    tmp_path: Path, is_terminal: bool, reads: Callable[[str], None]
) -> None:
    with planned(tmp_path, lambda *_: Reply(b"[/docs]\r\n\x1b[2J[red]gone\x07", 500), repetitions=1):
        told("start", tmp_path)
        status = followed(tmp_path, 1)
    with terminal() if is_terminal else pipe() as (file, printed):
        reporter = Reporter(Console(file=file, width=400, highlight=False))
        assert reporter.console.is_terminal == is_terminal
        with reporter.step("measure"):
            reporter.progress("bs", status)
        reporter.say(f"run: {status['last']['error']}")
        output = printed()
    reads(output)
    assert "\x1b[2J" not in output
    assert "\x07" not in output


@contextmanager
def pipe() -> Iterator[tuple[TextIO, Callable[[], str]]]:
    file = io.StringIO()
    yield file, file.getvalue


@contextmanager
def terminal() -> Iterator[tuple[TextIO, Callable[[], str]]]:
    """A pseudo-terminal, and what is printed to it."""
    ours, theirs = pty.openpty()
    pieces: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # nobody has it open any more
            while piece := os.read(ours, 65_536):
                pieces.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    file = os.fdopen(theirs, "w", encoding="utf-8")

    def printed() -> str:
        file.close()
        reader.join()
        return b"".join(pieces).decode()

    try:
        yield file, printed
    finally:
        file.close()
        reader.join()
        os.close(ours)
