"""What k3s writes to its journal, and what it means."""

from __future__ import annotations

import re
import time
from typing import NamedTuple

from ansible.module_utils.node.process import attempt

# A unit that has failed this often during the wait will not start by waiting longer.
GIVEN_UP_AFTER_RESTARTS = 4
# How long a lasting cause has to be reported before the wait ends early.
BELIEVED_AFTER_S = 6

# An agent reports at level info why it cannot get its configuration from the server.
_COMPLAINT = re.compile(r"level=(error|fatal)|server is not ready: |^[EF]\d{4} |panic:")
_TROUBLE = re.compile(rf"level=warning|{_COMPLAINT.pattern}")
# Older lines do not explain what fails now: k3s retries every ten seconds at most.
RECENT_S = 25


class Cause(NamedTuple):
    """Why k3s does not start, as a part of a sentence; a `lasting` cause does not go away by waiting."""

    sentence: str
    lasting: bool


# The first that matches is reported; reasons stand before symptoms.
_CAUSES = (
    (
        r"Node password rejected",
        "the server knows another node of this name (Node password rejected); reset this node and provision it again",
        True,
    ),
    (
        r"encrypted with different token|bootstrap data already found",
        "its token is not the one this cluster was created with; restore the token's file or reset the cluster",
        True,
    ),
    (
        r"(?i)401 Unauthorized|not authorized|token CA hash does not match|invalid token",
        "its token is wrong: the server refuses it; both have to come from the same k3s_token_file (or k3s_token)",
        True,
    ),
    (
        r"certificate signed by unknown authority",
        "the server is not that of the cluster which this node joined before; reset the node, then provision it again",
        True,
    ),
    (
        r"certificate has expired or is not yet valid",
        "its clock differs from the server's, so certificates are not valid; set the clocks (timedatectl set-ntp true)",
        True,
    ),
    (
        r"configured to not run on a host using cgroup v1|cgroup v1",
        "kubelet refuses control groups version 1; use k3s 1.34 or boot with systemd.unified_cgroup_hierarchy=1",
        True,
    ),
    (r"address already in use", "another program uses one of its ports (see `ss -ltnp` on the node)", True),
    (r"no space left on device", "its disk is full; free space under /var/lib", True),
    (
        r"exec format error",
        "the binary is for another architecture; put the right one into the artifacts' folder",
        True,
    ),
    (
        r"(?i)unable to find interface|failed to find (the )?interface|no such network interface",
        "flannel's interface does not exist; correct data_interface in the inventory",
        True,
    ),
    (
        r"(?i)connection refused|i/o timeout|no route to host|network is unreachable|context deadline exceeded",
        "it does not reach the server; check the firewall and the route between the two",
        False,
    ),
)


def explain(lines: list[str]) -> Cause | None:
    """Return the cause that lines of k3s report, or None when they match no known one."""
    trouble = [line for line in lines if _TROUBLE.search(line)]
    for pattern, sentence, lasting in _CAUSES:
        if any(re.search(pattern, line) for line in trouble):
            return Cause(sentence, lasting)
    return None


class Watch:
    """The journal of a unit during a wait for it, and whether waiting longer helps.

    Args:
        unit: the systemd unit that runs k3s.
        restart: restart it first. What runs until then may still write why it failed, which is no cause any more.
    """

    def __init__(self, unit: str, *, restart: bool = False) -> None:
        self.unit = unit
        self._before = invocation_of(unit) if restart else ""
        if restart:
            attempt("systemctl", "restart", "--no-block", unit)
        self.started = time.monotonic()
        self.cause: Cause | None = None
        self._restarts = restarts_of(unit)
        self._complained: float | None = None

    @property
    def invocation(self) -> str | None:
        """What tells this start of the unit from others; None while what is to be restarted still runs."""
        now = invocation_of(self.unit)
        return now if now and now != self._before else None

    def look(self) -> None:
        """Read the unit's recent lines."""
        now = self.invocation
        self.cause = explain(recent_lines(now) if now else [])
        lasting = self.cause is not None and self.cause.lasting
        self._complained = (self._complained or time.monotonic()) if lasting else None

    @property
    def believed(self) -> bool:
        """Whether a lasting cause has been reported for long enough."""
        return self._complained is not None and time.monotonic() - self._complained > BELIEVED_AFTER_S

    def given_up(self, timeout_s: float) -> bool:
        """Whether the timeout has passed, or the unit has failed repeatedly."""
        return self.waited_s > timeout_s or restarts_of(self.unit) - self._restarts >= GIVEN_UP_AFTER_RESTARTS

    @property
    def waited_s(self) -> float:
        """How long the wait has lasted, in seconds."""
        return time.monotonic() - self.started

    def report(self, what: str) -> str:
        """Return a sentence on what failed: with the cause where it is known, and the lines of k3s."""
        known = f": {self.cause.sentence}" if self.cause else ""
        return f"{what}{known}. {self.lines()}"

    def lines(self) -> str:
        """Return the last lines of k3s, as a sentence."""
        return f"Its k3s reports: {quoted(last_lines('--unit', self.unit))}"


def last_lines(*choice: str) -> list[str]:
    """Return the last lines of the journal that arguments of journalctl choose."""
    command = ["journalctl", "--output", "cat", "--no-pager", "--lines", "60"]
    return [shortened(line) for line in attempt(*command, *choice).stdout.splitlines() if line.strip()]


def recent_lines(invocation: str) -> list[str]:
    """Return the recent lines of one start of a unit."""
    return last_lines("--since", f"@{time.time() - RECENT_S:.0f}", f"_SYSTEMD_INVOCATION_ID={invocation}")


def invocation_of(unit: str) -> str:
    """Return what tells this start of a unit from others; nothing where it was never started."""
    return attempt("systemctl", "show", "--property", "InvocationID", "--value", unit).stdout.strip()


def started_s(unit: str) -> float:
    """Return when the unit's process was started, in seconds since 1970."""
    show = ["systemctl", "show", "--property", "ExecMainStartTimestamp", "--timestamp=unix", unit]
    digits = attempt(*show).stdout.strip().rpartition("@")[2]
    return float(digits) if digits.isdigit() else 0


def restarts_of(unit: str) -> int:
    """Return how often systemd has restarted the unit because it failed."""
    count = attempt("systemctl", "show", "--property", "NRestarts", "--value", unit).stdout.strip()
    return int(count) if count.isdigit() else 0


def shortened(line: str, width: int = 300) -> str:
    """Return a line of k3s without its time, which the journal has as well, cut to a width."""
    plain = re.sub(r'^time="[^"]*" ', "", line.strip())
    return plain if len(plain) <= width else f"{plain[: width - 3]}..."


def quoted(lines: list[str], count: int = 6) -> str:
    """Return the last lines as a part of a sentence: errors, or the last lines when there are none."""
    complaints = [line for line in lines if _COMPLAINT.search(line)]
    chosen = list(dict.fromkeys(complaints or lines))[-count:]
    return " | ".join(chosen) or "nothing"
