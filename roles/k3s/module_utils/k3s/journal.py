"""What k3s says about itself, and what it means."""

from __future__ import annotations

import re
import subprocess
import time
from typing import NamedTuple

# A unit that has ended by itself this often while we waited will not come up by waiting longer.
GIVEN_UP_AFTER_RESTARTS = 4
# How long a cause that does not heal by waiting may be complained about before it is believed.
BELIEVED_AFTER_S = 6

# An agent tells at level info why it cannot get its settings from the server.
_COMPLAINT = re.compile(r"level=(error|fatal)|server is not ready: |^[EF]\d{4} |panic:")
_TROUBLE = re.compile(rf"level=warning|{_COMPLAINT.pattern}")
# What k3s said longer ago does not keep it from getting on now; it tries again every ten seconds at most.
RECENT_S = 25


class Cause(NamedTuple):
    """Why k3s does not get on, as a part of a sentence; `lasting` is what does not heal by waiting."""

    sentence: str
    lasting: bool


# The first that matches is told; those that name the reason stand before those that only name a symptom.
_CAUSES = (
    (
        r"Node password rejected",
        "the server knows another node of this name (Node password rejected); reset this node and provision it again",
        True,
    ),
    (
        r"encrypted with different token|bootstrap data already found",
        "its token is not the one with which this cluster was made; restore the token's file or reset the cluster",
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
        "its clock and the server's differ, so that certificates do not hold; set the clocks (timedatectl set-ntp true)",
        True,
    ),
    (
        r"configured to not run on a host using cgroup v1|cgroup v1",
        "kubelet refuses control groups version 1; take k3s 1.34 or boot with systemd.unified_cgroup_hierarchy=1",
        True,
    ),
    (r"address already in use", "another program has one of its ports (`ss -ltnp` on the node names it)", True),
    (r"no space left on device", "its disk is full; make room under /var/lib", True),
    (
        r"exec format error",
        "the binary is for another processor; put the right one into the artifacts' folder",
        True,
    ),
    (
        r"(?i)unable to find interface|failed to find (the )?interface|no such network interface",
        "flannel's interface is missing; correct data_interface in the inventory",
        True,
    ),
    (
        r"(?i)connection refused|i/o timeout|no route to host|network is unreachable|context deadline exceeded",
        "it does not reach the server; see firewall and route between the two",
        False,
    ),
)


def explain(lines: list[str]) -> Cause | None:
    """Return what lines of k3s mean, or None when they are nothing we know."""
    trouble = [line for line in lines if _TROUBLE.search(line)]
    for pattern, sentence, lasting in _CAUSES:
        if any(re.search(pattern, line) for line in trouble):
            return Cause(sentence, lasting)
    return None


class Watch:
    """What a unit says while somebody waits for it, and whether waiting longer is of use.

    Args:
        unit: the systemd unit that runs k3s.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.begun = time.monotonic()
        self.cause: Cause | None = None
        self._restarts = restarts_of(unit)
        self._complained: float | None = None

    def look(self) -> None:
        """Read what the unit has said lately."""
        self.cause = explain(recent_words(self.unit))
        lasting = self.cause is not None and self.cause.lasting
        self._complained = (self._complained or time.monotonic()) if lasting else None

    @property
    def believed(self) -> bool:
        """Whether it has complained long enough about what does not heal by waiting."""
        return self._complained is not None and time.monotonic() - self._complained > BELIEVED_AFTER_S

    def given_up(self, timeout_s: float) -> bool:
        """Whether the time is over, or the unit has ended by itself again and again."""
        return self.waited_s > timeout_s or restarts_of(self.unit) - self._restarts >= GIVEN_UP_AFTER_RESTARTS

    @property
    def waited_s(self) -> float:
        """For how long somebody has waited."""
        return time.monotonic() - self.begun

    def tell(self, what: str) -> str:
        """Return a sentence on what does not come about: with the cause where it is known, and k3s' own words."""
        known = f": {self.cause.sentence}" if self.cause else ""
        return f"{what}{known}. {self.words()}"

    def words(self) -> str:
        """Return what k3s says, as a sentence."""
        return f"Its k3s says: {quoted(last_words(self.unit))}"


def last_words(unit: str, since_s: float | None = None) -> list[str]:
    """Return the last lines of a unit's journal, or those since a time in seconds since 1970."""
    command = ["journalctl", "--unit", unit, "--output", "cat", "--no-pager", "--lines", "60"]
    since = ["--since", f"@{since_s:.0f}"] if since_s else []
    done = subprocess.run(command + since, capture_output=True, text=True, check=False)
    return [shortened(line) for line in done.stdout.splitlines() if line.strip()]


def recent_words(unit: str) -> list[str]:
    """Return what a unit has said lately, since its last start."""
    return last_words(unit, since_s=max(started_s(unit), time.time() - RECENT_S))


def started_s(unit: str) -> float:
    """Return when the unit's process was started, in seconds since 1970."""
    show = ["systemctl", "show", "--property", "ExecMainStartTimestamp", "--timestamp=unix", unit]
    digits = subprocess.run(show, capture_output=True, text=True, check=False).stdout.strip().rpartition("@")[2]
    return float(digits) if digits.isdigit() else 0


def restarts_of(unit: str) -> int:
    """Return how often systemd has started the unit again because it ended by itself."""
    done = subprocess.run(
        ["systemctl", "show", "--property", "NRestarts", "--value", unit], capture_output=True, text=True, check=False
    )
    return int(done.stdout) if done.stdout.strip().isdigit() else 0


def shortened(line: str, width: int = 300) -> str:
    """Return a line of k3s without its time, which the journal has as well, and not longer than a screen's."""
    plain = re.sub(r'^time="[^"]*" ', "", line.strip())
    return plain if len(plain) <= width else f"{plain[: width - 3]}..."


def quoted(lines: list[str], count: int = 6) -> str:
    """Return the last lines as a part of a sentence: those that complain, or the last ones when none does."""
    complaints = [line for line in lines if _COMPLAINT.search(line)]
    chosen = list(dict.fromkeys(complaints or lines))[-count:]
    return " | ".join(chosen) or "nothing"
