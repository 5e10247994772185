"""Who analyses a run that root has, and what that user cannot do."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import processes
import pytest
from generated_run import RUN, all_records, write_run
from replica import eventually

from collect import privileges

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not privileges.can_be_dropped(), reason="this user is not root, so there is nothing to drop"),
]
READING = f"{1 << 2:016x}"  # linux/capability.h: CAP_DAC_READ_SEARCH


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """Results in a home that others may not enter."""
    results = tmp_path / "results"
    write_run(results, all_records(repetitions=3))
    tmp_path.chmod(0o700)
    return results


def begun(root: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "collect", *arguments]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rights(pid: int) -> dict[str, str]:
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:  # it has ended
        return {}
    return dict(re.findall(r"^(Uid|Gid|CapEff|CapBnd|NoNewPrivs):\t(.+)$", status, re.MULTILINE))


def test_a_report_is_written_by_a_user_who_can_only_read(root: Path, private: Path) -> None:
    report = begun(root, "report", RUN, "--results", str(private))
    user = "\t".join([str(privileges.USER)] * 4)
    expected = {"Uid": user, "Gid": user, "CapEff": READING, "CapBnd": READING, "NoNewPrivs": "1"}
    eventually(lambda: any(rights(pid) == expected for pid in processes.children(report.pid)), "the worker's start")
    printed, complaints = report.communicate()
    assert (report.returncode, complaints) == (0, "")
    folder = private / RUN
    assert printed.splitlines()[-1] == str(folder / "report.html")
    written = [folder / "report.html", folder / "analysis" / "summary.json", *(folder / "figures").iterdir()]
    assert len(written) > 10
    assert {path.stat().st_uid for path in written} == {os.geteuid()}


@pytest.mark.parametrize("given", ["export", "analyse"])
def test_what_is_written_elsewhere_goes_there(given: str, root: Path, private: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "tables"
    more = ["--to", str(elsewhere)] if given == "export" else []
    done = begun(root, given, RUN, "--results", str(private), *more)
    complaints = done.communicate()[1]
    assert (done.returncode, complaints) == (0, "")
    assert (elsewhere / "repetitions.csv").exists() == (given == "export")
    assert (private / RUN / "analysis").exists() == (given == "analyse")


def test_a_root_that_lacks_the_right_to_read_all_does_the_work_itself(root: Path, private: Path) -> None:
    poor = ["setpriv", "--bounding-set=-dac_read_search", "--inh-caps=-dac_read_search"]
    command = [*poor, sys.executable, "-m", "collect", "analyse", RUN, "--results", str(private)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (private / RUN / "analysis" / "summary.json").exists()


def test_a_mistake_is_named_once(root: Path, private: Path) -> None:
    for name in ("nowhere", RUN):
        (private / RUN / "raw" / "samples.jsonl").write_text("")
        done = begun(root, "analyse", name, "--results", str(private))
        complaints = done.communicate()[1]
        assert done.returncode == 2
        assert complaints.count("error: ") == 1


def test_a_worker_that_is_killed_is_named(root: Path, private: Path) -> None:
    report = begun(root, "report", RUN, "--results", str(private))

    def workers() -> list[int]:
        """Its children that have lost their rights, without the one that only tries whether that can be done."""
        ours = processes.children(report.pid) & processes.with_words(str(private).encode())
        return [pid for pid in ours if rights(pid).get("NoNewPrivs") == "1"]

    eventually(lambda: len(workers()) == 1, "the worker's start")
    (worker,) = workers()
    os.kill(worker, signal.SIGKILL)
    assert "error: the analysis was ended by signal 9: see whether this machine is short" in report.communicate()[1]
    assert report.returncode == 2


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[socket.socket]:
    """The worker's end of a socket to a process that writes for it what lies in ``results``."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    allowed = tmp_path / "results"
    serving = threading.Thread(target=privileges.serve, args=(ours, lambda path: path.parent == allowed))
    serving.start()
    with ours, theirs:
        yield theirs
        theirs.shutdown(socket.SHUT_RDWR)
        serving.join()


def asked(worker: socket.socket, path: str, descriptors: list[int]) -> str:
    socket.send_fds(worker, [path.encode()], descriptors)
    return os.strerror(int(worker.recv(100)))


def test_a_worker_that_was_taken_over_gets_nothing_but_its_results_written(
    worker: socket.socket, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    with (tmp_path / "content").open("w+b") as content:
        content.write(b"numbers")
        content.seek(0)
        assert asked(worker, str(results / "table.csv"), [content.fileno()]) == "Success"
        assert (results / "table.csv").read_bytes() == b"numbers"
        refused = ("raw/samples.jsonl", "results/../table.csv", "results/more/table.csv", "results", "")
        for path in (*(str(tmp_path / path) for path in refused), "table.csv", "/etc/passwd\n", "a\0b"):
            assert asked(worker, path, [content.fileno()]) == "Operation not permitted"
        assert asked(worker, f"{results}/..", [content.fileno()]) != "Success"
    reading, writing = os.pipe()
    assert asked(worker, str(results / "endless.csv"), [reading]) == "Operation not permitted"
    os.close(reading)
    os.close(writing)
    assert asked(worker, str(results / "nothing.csv"), []) != "Success"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["content", "results", "table.csv"]
