"""The links of a testbed: shaped, verified against their targets, and cleared whatever happens."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from collect.folder import write_json
from experiments.errors import RunError
from nodes.errors import PlaybookError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from experiments.progress import Reporter
    from nodes.playbooks import Playbooks

# How long a verification sends by TCP over each link, where the throughput of the links is shown.
STREAM_S = 2
# By how much what a replica has may differ from its cpus. The kernel gives them in periods of 100 ms, of which a
# calibration sees thirty, the first and the last in part.
CPUS_OFF_PERCENT = 10


def shape(playbooks: Playbooks, variables: Mapping[str, Any]) -> str:
    """Shape the links and return which backend does so, and why that one.

    Raises:
        PlaybookError: a link cannot be shaped.
    """
    answers = playbooks.run("links", **variables)
    return "; ".join(dict.fromkeys(answers["netem_backend"].values()))


def verify(
    playbooks: Playbooks, variables: Mapping[str, Any], *, report: Path | None = None, stream_s: float = STREAM_S
) -> list[str]:
    """Measure the links and return a sentence for each.

    Args:
        playbooks: those of the inventory.
        variables: the roles' variables with the links.
        report: where the numbers are written as JSON.
        stream_s: how long to send by TCP over each link in seconds; 0 not at all.

    Raises:
        PlaybookError: a link is off its target; the numbers are in the message.
    """
    target = str(report.resolve()) if report else ""
    answers = playbooks.run("verify", netem_report_file=target, netem_stream_s=stream_s, **variables)
    return [sentence for sentences in answers["netem_verification"].values() for sentence in sentences]


def calibrate(playbooks: Playbooks, variables: Mapping[str, Any], report: Path) -> list[str]:
    """Measure how much of a CPU each replica with `cpus` has, and return a sentence for each.

    What the kernel counts of replicas with less memory than their node is written down with it.

    Raises:
        PlaybookError: a node cannot measure it.
        RunError: one has more or less than its scenario says; the numbers are in the message and in the report.
    """
    answers = playbooks.run("calibrate", **variables)["function_calibration"]
    write_json(report, {"schema": 1, "tolerance_percent": CPUS_OFF_PERCENT, "nodes": answers})
    sentences, off = [], []
    for node, calibrations in answers.items():
        for one in calibrations:
            if one["share"] is None:
                continue
            sentence = f"{node}: {one['service']} has {one['share']:.3f} CPUs, {one['cpus']:g} expected"
            sentences.append(sentence)
            if abs(one["share"] / one["cpus"] - 1) * 100 > CPUS_OFF_PERCENT:
                off.append(sentence)
    if off:
        raise RunError(
            f"{'; '.join(off)}: more than {CPUS_OFF_PERCENT} % off; is another program using these nodes' CPUs?"
        )
    return sentences


@contextmanager
def cleared(playbooks: Playbooks, reporter: Reporter) -> Iterator[None]:
    """Clear the links at the end, on failure and on Ctrl-C; a failure to clear never hides the first one."""
    try:
        yield
    except BaseException:
        try:
            with reporter.step("clear links"):
                playbooks.run("clear")
        except PlaybookError as error:
            reporter.say(f"the links could not be cleared: {error}; clear them later with playbooks/clear.yml")
        raise
    with reporter.step("clear links"):
        playbooks.run("clear")
