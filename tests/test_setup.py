"""What setup.sh leaves when it is killed: nothing that forbids Debian to start services."""

from __future__ import annotations

import re
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# What it writes while packages are installed, and how it ends; an installation that takes longer than the test.
POLICY = re.compile(r"( *policy=.*?\n)  \$install", re.DOTALL)


@pytest.fixture
def installing(root: Path, tmp_path: Path) -> tuple[subprocess.Popen[str], Path]:
    """The part of setup.sh around an installation, at work, and the policy that it wrote, which is not the machine's."""
    found = POLICY.search((root / "setup.sh").read_text("utf-8"))
    assert found is not None
    policy = tmp_path / "policy-rc.d"
    script = found[1].replace("/usr/sbin/policy-rc.d", str(policy)) + "\necho installing\nread answer\n"
    process = subprocess.Popen(
        ["sh", "-eu", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        # A shell cannot trap what is ignored where it is started, as Ctrl-C is in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (one thread here)
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "installing\n"
    return process, policy


def allows(policy: Path) -> bool:
    return subprocess.run([str(policy), "ssh", "start"], check=False).returncode == 0


def test_while_packages_are_installed_no_service_is_started_and_then_the_policy_is_gone(
    installing: tuple[subprocess.Popen[str], Path],
) -> None:
    process, policy = installing
    assert not allows(policy)
    process.communicate("\n", timeout=20)
    assert process.returncode == 0
    assert not policy.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_no_policy(installing: tuple[subprocess.Popen[str], Path], number: signal.Signals) -> None:
    process, policy = installing
    process.send_signal(number)
    process.communicate("\n", timeout=20)
    assert process.returncode > 0
    assert not policy.exists()


def test_what_a_kill_leaves_forbids_nothing_and_the_next_setup_takes_it_over(
    installing: tuple[subprocess.Popen[str], Path],
) -> None:
    process, policy = installing
    process.kill()
    process.communicate(timeout=20)
    assert allows(policy)
