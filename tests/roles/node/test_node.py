"""What modules of all roles share: programs, processes, files and changes."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.node.change import Change, carry_out, outcome
from ansible.module_utils.node.distribution import distribution_of
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.files import draft_of, read, write
from ansible.module_utils.node.process import (
    NOT_STARTED,
    ProcessError,
    attempt,
    detach,
    end,
    on_this_node,
    processes,
    run,
)

# Programs


def test_a_program_gets_its_input_and_returns_its_output() -> None:
    assert run("cat", text="one\ntwo\n") == "one\ntwo\n"


def test_a_program_that_fails_is_quoted_with_its_message() -> None:
    with pytest.raises(ProcessError, match=r"^`ls /no/such/folder` failed: ls: .* No such file or directory$") as info:
        run("ls", "/no/such/folder")
    assert info.value.returncode == 2
    assert isinstance(info.value, NodeError)


def test_a_program_that_fails_without_a_word_is_told_by_its_exit_code() -> None:
    with pytest.raises(ProcessError, match=r"^`false` failed: exit code 1$"):
        run("false")


def test_a_program_that_is_not_there_is_one_that_failed() -> None:
    done = attempt("no-such-program", "--version")
    assert (done.returncode, done.stdout) == (NOT_STARTED, "")
    with pytest.raises(ProcessError, match=r"failed: no-such-program: No such file or directory$"):
        run("no-such-program")


def test_messages_come_in_english_unless_the_environment_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert "LC_ALL=C\n" in run("env")
    assert run("/usr/bin/env", environment={"ONLY": "this"}) == "ONLY=this\n"


def test_output_that_is_no_text_does_not_end_the_module() -> None:
    assert run("printf", r"\377") == "\N{REPLACEMENT CHARACTER}"


# Processes


def test_a_detached_process_keeps_what_it_works_with_and_no_lock(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)

    def work() -> None:
        os.write(writing, " ".join(one.name for one in Path("/proc/self/fd").iterdir()).encode())
        signal.pause()

    detach("fb-test", work, (writing,))
    left = {int(number) for number in os.read(reading, 4096).decode().split()}
    os.close(held)
    again = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where another holds it
        assert writing in left
        assert reading not in left
    finally:
        end([pid for pid, name, _ in on_this_node() if name == "fb-test"])
        for one in (again, reading, writing):
            os.close(one)


def test_processes_are_listed_with_their_folders() -> None:
    assert dict(processes())[os.getpid()].joinpath("comm").exists()


def test_ending_waits_until_a_process_has_ended() -> None:
    process = subprocess.Popen(["sleep", "600"])
    end([process.pid])
    assert process.poll() == -signal.SIGTERM


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    ignore = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", ignore], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        end([process.pid], timeout_s=0.2)
        assert process.wait() == -signal.SIGKILL


def test_a_process_that_has_ended_already_is_passed_over() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    end([process.pid])


# Files


def test_a_file_that_is_not_there_reads_as_none(tmp_path: Path) -> None:
    assert read(tmp_path / "none") is None


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_a_file_has_its_permissions_whatever_the_umask_is(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "new folder" / "file"
    before = os.umask(0o077)
    try:
        write(path, "text", mode)
    finally:
        os.umask(before)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("text", mode)


def test_a_reader_of_the_old_file_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, "old")
    with path.open() as reader:
        write(path, b"new")
        assert reader.read() == "old"
    assert read(path) == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_was_cut_off_leaves_no_trace_in_the_next(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "file", tmp_path / "elsewhere"
    draft_of(path).symlink_to(elsewhere)
    write(path, "text", 0o600)
    assert not elsewhere.exists()
    assert list(tmp_path.iterdir()) == [path]


def test_a_modification_time_can_be_set(tmp_path: Path) -> None:
    write(tmp_path / "file", "text", modified_s=1_000_000_000)
    assert (tmp_path / "file").stat().st_mtime == 1_000_000_000


# Changes


def test_changes_are_carried_out_in_order_and_listed_when_the_one_before_is_done() -> None:
    done: list[str] = []

    def changes() -> list[Change]:
        return [Change("make a", lambda: done.append("a")), Change("make b", lambda: done.append("b"))]

    carry_out(changes())
    assert done == ["a", "b"]
    assert outcome(change.sentence for change in changes()) == {
        "changed": True,
        "changes": ["make a", "make b"],
        "diff": {"before": "", "after": "make a\nmake b\n"},
    }


def test_no_change_is_not_changed() -> None:
    assert outcome([]) == {"changed": False, "changes": [], "diff": {"before": "", "after": ""}}


# The distribution


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n', ("Debian GNU/Linux 12 (bookworm)", "Debian")),
        ('ID=ubuntu\nID_LIKE=debian\nPRETTY_NAME="Ubuntu 24.04 LTS"\n', ("Ubuntu 24.04 LTS", "Debian")),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', ("linuxmint", "Debian")),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\nPRETTY_NAME="Rocky Linux 9.4"\n', ("Rocky Linux 9.4", "RedHat")),
        ("# a comment\nID=void\n\n", ("void", "Void")),
        ("", ("linux", "Linux")),
    ],
)
def test_a_distribution_is_known_by_its_family(text: str, distribution: tuple[str, str]) -> None:
    assert distribution_of(text) == distribution
