"""Failures that say nothing of the project: links that a machine refused because its hypervisor took its CPU time."""

from __future__ import annotations

import re

# What the gate says of a link on such a machine, and how much CPU steal it takes: with less, who is late is at fault.
LATE = r"its emulator delayed \d+ of \d+ frames .{,60}it gets too little CPU time"
STALLED = r"\d+ of \d+ probes arrived far too late: the machine or the emulator stalls"
STEAL = re.compile(rf"(?:{LATE}|{STALLED}) \(([\d.]+) % CPU steal on this machine\)")
STEAL_MIN_PERCENT = 4.0


# How pytest shows a comparison that fails: marks of the difference before a line, long strings in pieces, lists in lines.
MARK = re.compile(r"^E\s+(?:[-+?]\s)?\s*")
PIECES = re.compile(r"""(['"])\n\1""")


def said(failure: str) -> str:
    """Return what a failure itself says: its lines without pytest's marks and without the test's own source."""
    lines = [MARK.sub("", line) for line in failure.splitlines() if line.startswith("E ")]
    return PIECES.sub("", "\n".join(lines))


def disturbed(failure: str) -> str | None:
    """Return why a failure, as pytest prints it, is the machine's, or None.

    It is where all links that it tells of as refused were refused for CPU steal. Verification has measured each of them
    again and again before, for as long as its patience lasts.
    """
    evidence = said(failure)
    stolen_percent = [float(share) for share in STEAL.findall(evidence)]
    others = re.search(rf"""(?:\bOFF: |['"](?=[^'"]*\bexpected ))(?!{LATE}|{STALLED})""", evidence)
    if not stolen_percent or max(stolen_percent) < STEAL_MIN_PERCENT or others:
        return None
    return f"{max(stolen_percent):.2g} % CPU steal on this machine: its links cannot be judged while that lasts"
