"""What the modules of the platform `process` say and do, without a node: files, owners, code, and a supervisor's answers."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from roles_modules import module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A supervisorctl that answers as the real one does where nobody runs, and a supervisord that notes that it was started.
CONTROL = '#!/bin/sh\necho "$@" >>"$(dirname "$0")/asked"\n[ -e "$(dirname "$0")/started" ] || exit 4\n'
DAEMON = '#!/bin/sh\ntouch "$(dirname "$0")/started"\n'
ANSWERING = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ready")
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Ready)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@pytest.fixture
def replica() -> Iterator[int]:
    """The port of something that is ready."""
    with subprocess.Popen([sys.executable, "-c", ANSWERING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        process.kill()


@pytest.fixture
def options(tmp_path: Path, replica: int) -> dict[str, Any]:
    """One replica, with stand-ins for the supervisor's programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("supervisorctl", CONTROL), ("supervisord", DAEMON)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return {
        "node": "edge-1", "host": "127.0.0.1", "folder": str(tmp_path / "function"), "programs": str(programs),
        "files": {"supervisord.conf": "[supervisord]\n", "gateway-edge.yaml": "listeners\n"}, "owner": 65532,
        "code": str(tmp_path), "compiled": str(tmp_path / "compiled" / "abc"), "parent": f"faasbed-test-{os.getpid()}",
        "replicas": [{"name": "edge", "port": replica - 1000}], "replica_port_offset": 1000, "timeout_s": 5,
    }  # fmt: skip


def examined(folder: Path) -> dict[str, Any]:
    """Options with which a node is only looked at."""
    return {
        "state": "examined", "node": "edge-1", "host": "127.0.0.1", "folder": str(folder / "none"), "programs": str(folder),
    }  # fmt: skip


def test_what_stands_is_left_and_what_was_changed_by_hand_is_put_right(options: dict[str, Any], tmp_path: Path) -> None:
    folder, kernels = tmp_path / "function", tmp_path / "compiled" / "abc"
    rehearsed = module("function_programs", check=True, **options)
    assert rehearsed["changed"]
    assert not folder.exists()
    made = module("function_programs", **options)
    assert made["changes"][-1] == "start the supervisor"
    assert not module("function_programs", **options)["changed"]
    assert (tmp_path / "bin" / "asked").read_text().splitlines() == [f"-c {folder}/supervisord.conf update"] * 2
    for spoil, change in (
        (lambda: (folder / "gateway-edge.yaml").write_text("other\n"), f"write {folder}/gateway-edge.yaml"),
        (lambda: (folder / "supervisord.conf").chmod(0o600), f"write {folder}/supervisord.conf"),
        ((folder / "log").rmdir, f"make the folder {folder}/log"),
        *([((kernels / "kernel.nbi").touch, f"give {kernels} to user 65532")] if os.geteuid() == 0 else []),
    ):
        spoil()
        assert module("function_programs", check=True, **options)["changes"][0] == change
        assert module("function_programs", **options)["changes"] == [change]
        assert not module("function_programs", **options)["changed"]
    assert stat.S_IMODE((folder / "supervisord.conf").stat().st_mode) == 0o644


def test_a_replica_that_does_not_answer_is_named_with_its_log(options: dict[str, Any], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        silent = [{"name": "edge", "port": free.getsockname()[1] - 1000}]
        log = tmp_path / "function" / "log" / "replica-edge.log"
        log.parent.mkdir(parents=True)
        log.write_text("one\nno numba here\n")
        refused = module("function_programs", **{**options, "replicas": silent, "timeout_s": 1})
    assert refused["failed"]
    assert "is not ready after 1 s: it does not answer: [Errno 111] Connection refused" in refused["msg"]
    assert f"{log} ends: one / no numba here. On a slow node, increase function_ready_timeout_s." in refused["msg"]


def test_removal_takes_all_of_it_and_a_second_one_finds_nothing(options: dict[str, Any], tmp_path: Path) -> None:
    module("function_programs", **options)
    gone = {key: options[key] for key in ("node", "folder", "programs", "parent")} | {"state": "absent"}
    assert module("function_programs", check=True, **gone)["changed"]
    assert (tmp_path / "function").exists()
    assert module("function_programs", **gone)["changes"] == [
        "end the supervisor and everything it runs", f"remove {tmp_path}/function",
    ]  # fmt: skip
    assert not (tmp_path / "function").exists()
    assert not module("function_programs", **gone)["changed"]


def test_a_node_is_refused_with_all_that_it_lacks(replica: int, tmp_path: Path) -> None:
    refused = module(
        "function_programs", ports=[replica], python=sys.executable, packages=["json", "nowhere"], **examined(tmp_path)
    )
    assert f"Port {replica} of 127.0.0.1 on edge-1 is in use by another program: process " in refused["msg"]
    assert f"{sys.executable} on edge-1 lacks packages that the function needs (nowhere)." in refused["msg"]


def test_other_code_is_another_word_and_a_file_by_another_name_too(tmp_path: Path) -> None:
    def word() -> str:
        found = module("function_programs", code=str(tmp_path), **examined(tmp_path))
        assert found["user"] == os.geteuid()
        assert found["cores"] == sorted(os.sched_getaffinity(0))
        code: str = found["code"]
        return code

    (tmp_path / "app" / "models").mkdir(parents=True)
    (tmp_path / "app" / "models" / "one.py").write_text("A = 1\n")
    first = word()
    assert word() == first
    (tmp_path / "app" / "models" / "one.py").rename(tmp_path / "app" / "models" / "two.py")
    second = word()
    (tmp_path / "app" / "models" / "two.py").write_text("A = 2\n")
    assert len({first, second, word()}) == 3
