"""Whether a measured link is the one that was asked for: the gate. Pure, no I/O.

The gate looks at the median and at the sigma that the quartiles imply. For the normal delay that a link is asked to
have they estimate the same as mean and standard deviation, but a probe that waited for a busy CPU (the machine's
fault, not the link's) hardly moves them, while a doubled delay, a lost jitter or a missing direction moves them fully.
Such probes are counted instead, and too many of them fail the gate by their own name.

A right link should pass: of 16 verdicts in a run, each on three quantities, one in a hundred runs may fail by chance.
So the gate's tolerances are widened by their own 95 % intervals on top of the 2 % and 5 %, and the loss is held
against its 99.9 % interval, while the report shows 95 % intervals throughout.

What the path does by itself is known from the control: probes that no link shapes, sent between those that one does,
so that whatever makes the machines slow for a while makes both slow. Where timers are coarse (a CPU that is emulated),
no link can be as true as that. The gate there is relative to the machine's own timers and to what the control does, and
says how much wider that makes it; where it is so wide that a doubled delay or a lost jitter could pass, the link fails by
that name.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from .estimates import (
    ENOUGH,
    LOSS_CONFIDENCE,
    Coarseness,
    Estimate,
    Expectation,
    coarseness,
    drawn,
    estimate,
    expect,
    expect_in_order,
    histogram,
    loss_interval,
    noticed_loss,
    stalls,
)
from .lost import CORRUPTED_AND_LOST, duplicated_problems, loss_of, lost_problems
from .stream import formula_mbit

if TYPE_CHECKING:
    from collections.abc import Sequence

MEAN_TOLERANCE, MEAN_FLOOR_MS = 0.02, 0.05
SIGMA_TOLERANCE, SIGMA_FLOOR_MS = 0.05, 0.03
# Of an emulator's frames, sent 0.1 ms or more after their time. Late without bound, so many would move the median by
# 0.07 sigma and sigma by 7 %, which the gate still lets pass: beyond that it may blame the link. Measured are 0.3 % on
# two idle cores and 2 % beside four busy loops.
LATE_SHARE_MAX = 0.05
STALLED_SHARE_MAX = 0.02
STOLEN_SHARE_TOLD = 0.01  # of CPU time: from here on it is a reason that users want to know

MEASURED = (
    "mean_ms", "mean_low_ms", "mean_high_ms", "sigma_ms", "sigma_low_ms", "sigma_high_ms", "median_ms",
    "quartile_sigma_ms", "expected_median_ms", "expected_sigma_ms", "baseline_mean_ms", "baseline_sigma_ms",
    "control_median_ms", "control_sigma_ms", "stalled", "late_ms", "widened_ms", "widened_sigma_ms",
    "late_sigma_ms",
    "round_trip_mean_ms", "round_trip_low_ms", "round_trip_high_ms", "round_trip_sigma_ms",
)  # fmt: skip


def judge(
    link: dict[str, Any],
    back: dict[str, Any] | None,
    measured: dict[str, Any],
    baseline: dict[str, Any] | None,
    compensated_ms: float | None = None,
) -> dict[str, Any]:
    """Hold what was measured on a link against what was asked for.

    Args:
        link: the link, an entry of `netem_links` with all its keys.
        back: the link of the other direction, where there is one.
        measured: what ``probe.measure`` returned, and the family (4, 6) by which.
        baseline: the same, measured while no link was in force; None when it never was. It stands for the control where
            that was not answered.
        compensated_ms: what the path takes by itself, where that is a part of the links' delays; None where it comes on
            top of them.

    Returns:
        An entry of the report: the link's own values, estimates, intervals, ``ok``, ``problems`` and ``disturbed``: whether
        the machine had a part in them, so that what was measured says little about the link.
    """
    shared = measured["shared_clock"]
    key = "forward_ns" if shared else "round_trip_ns"
    delays_ms = [delay / 1e6 for delay in measured[key]]
    sent, lost = measured["sent"], measured["sent"] - measured["arrived"]
    chain, damaged = loss_of(link)
    # What a frame's damage loses is independent of the chain.
    damaged *= CORRUPTED_AND_LOST[measured.get("family", 4)]
    target = chain.loss + (1 - chain.loss) * damaged
    # Losses in bursts say less about their share than as many single ones would.
    weight = max(chain.inflation, 1)
    low, high = loss_interval(round(lost / weight), max(round(sent / weight), 1))
    entry = {
        **link,
        "probes": sent,
        "received": measured["arrived"],
        "family": measured.get("family", 4),
        "clock": "shared" if shared else "round-trip",
        "lost": lost,
        "loss_measured_percent": 100 * lost / sent,
        "loss_low_percent": 100 * low,
        "loss_high_percent": 100 * high,
        "loss_noticed_from_percent": 100 * noticed_loss(target, max(round(sent / weight), 1)),
        "duplicated": measured.get("forward_duplicated"),
        "reordered": measured["forward_reordered"],
        **_reordered(measured),
        "compensated_ms": compensated_ms,
        **dict.fromkeys(MEASURED),
        "histogram": {"edges_ms": [], "counts": [], "target": []},
    }
    problems = []
    problems += lost_problems(chain, damaged, sent, lost)
    problems += duplicated_problems(link, measured.get("forward_duplicated"), sent, target)
    if measured["forward_reordered"] and not link["reorder"]:
        problems.append(f"{measured['forward_reordered']} probes overtook others, but the link keeps order")
    if len(delays_ms) < ENOUGH:
        problems.append(f"only {len(delays_ms)} of {sent} probes were answered")
        return entry | {"ok": False, "problems": problems, "disturbed": False}
    found = estimate(delays_ms)
    around = estimate([delay / 1e6 for delay in measured["round_trip_ns"]])
    control, clear = (_estimated(one, key) for one in (measured.get("control"), baseline))
    links = [link] if shared or back is None else [link, back]
    path = control or clear
    path_ms = path.median_ms if path and compensated_ms is None else 0.0
    noise_ms = path.quartile_sigma_ms if path else 0.0
    expected = _expected(links, path_ms, noise_ms, measured)
    # An emulator makes up for its machine's timers, and its own counters say where it could not.
    by_kernel = control is not None and "starved" not in measured
    coarse = coarseness(measured, key, len(links), expected) if by_kernel else Coarseness()
    stalled = stalls(delays_ms, expected.median_ms, expected.sigma_ms)
    problems += _off(link, found, expected, coarse)
    machine = [*_blind(link, expected, noise_ms, coarse), *measured.get("starved", [])]
    # Where all are late, the delay is wrong and has been named; where some are, it is the machine.
    if not problems and not machine and stalled > (STALLED_SHARE_MAX + coarse.stalled) * len(delays_ms):
        machine = [f"{stalled} of {len(delays_ms)} probes came far too late: the machine or the emulator stalls"]
    problems += machine
    stolen = measured.get("stolen", 0.0)
    robbed = stolen > STOLEN_SHARE_TOLD
    if problems and robbed:
        problems[-1] += f" (this machine's hypervisor gave {100 * stolen:.2g} % of its CPU time to others)"
    return entry | {
        "mean_ms": found.mean_ms,
        "mean_low_ms": found.mean_low_ms,
        "mean_high_ms": found.mean_high_ms,
        "sigma_ms": found.sigma_ms,
        "sigma_low_ms": found.sigma_low_ms,
        "sigma_high_ms": found.sigma_high_ms,
        "median_ms": found.median_ms,
        "quartile_sigma_ms": found.quartile_sigma_ms,
        "expected_median_ms": expected.median_ms,
        "expected_sigma_ms": expected.sigma_ms,
        "baseline_mean_ms": clear.median_ms if clear else None,
        "baseline_sigma_ms": clear.quartile_sigma_ms if clear else None,
        "control_median_ms": control.median_ms if control else None,
        "control_sigma_ms": control.quartile_sigma_ms if control else None,
        "stalled": stalled,
        "late_ms": coarse.late_ms,
        "widened_ms": coarse.median_ms,
        "widened_sigma_ms": coarse.sigma_ms,
        "late_sigma_ms": coarse.late_sigma_ms,
        "round_trip_mean_ms": around.mean_ms,
        "round_trip_low_ms": around.mean_low_ms,
        "round_trip_high_ms": around.mean_high_ms,
        "round_trip_sigma_ms": around.sigma_ms,
        "histogram": histogram(delays_ms, drawn(links, path_ms, noise_ms, measured["interval_ms"])),
        "ok": not problems,
        "problems": problems,
        "disturbed": bool(machine or (problems and robbed)),
    }


def _estimated(measured: dict[str, Any] | None, key: str) -> Estimate | None:
    delays_ns = (measured or {}).get(key, ())
    return estimate([delay / 1e6 for delay in delays_ns]) if len(delays_ns) >= ENOUGH else None


def expected_mbit(link: dict[str, Any], back: dict[str, Any] | None, baseline: dict[str, Any] | None) -> float | None:
    """Return what the formula leaves one TCP connection over a link, or None where neither loss nor rate limits it."""
    chain, corrupted = loss_of(link)
    clear_ms = statistics.median(baseline["round_trip_ns"]) / 1e6 if baseline and baseline["round_trip_ns"] else 0.0
    round_trip_ms = clear_ms + link["delay_ms"] + (back["delay_ms"] if back else 0.0)
    return formula_mbit(round_trip_ms, chain.loss + (1 - chain.loss) * corrupted, link.get("rate_mbit"))


def _reordered(measured: dict[str, Any]) -> dict[str, float]:
    """Return which share of the probes that were answered had been overtaken, with its 95 % interval."""
    overtaken, answered = measured["forward_reordered"], max(measured["answered"], 1)
    low, high = loss_interval(overtaken, answered)
    return {
        "reordered_percent": 100 * overtaken / answered,
        "reordered_low_percent": 100 * low,
        "reordered_high_percent": 100 * high,
    }


def starved(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what an emulator's own counters say against it, between two looks at them.

    One that gets no CPU sends late or finds its ring overrun. More late ones than LATE_SHARE_MAX are refused, when that
    cannot be chance.
    """
    out, late, overrun = (after[key] - before.get(key, 0) for key in ("out", "late", "overrun"))
    problems = []
    if out > 0 and loss_interval(min(late, out), out, LOSS_CONFIDENCE)[0] > LATE_SHARE_MAX:
        problems.append(f"its emulator sent {late} of {out} frames more than 0.1 ms late: it gets too little CPU time")
    if overrun > 0:
        problems.append(f"its emulator had no room for {overrun} frames")
    return problems


def _expected(
    links: Sequence[dict[str, Any]], path_ms: float, noise_ms: float, measured: dict[str, Any]
) -> Expectation:
    # A rate adds each probe's own time on the wire, which is far below the floor from 1 Mbit/s on.
    probes = max(measured["arrived"], ENOUGH)
    parts = [
        expect(one["delay_ms"], one["jitter_ms"], probes, one.get("distribution", "normal"))
        if one["reorder"]
        else expect_in_order(
            one["delay_ms"], one["jitter_ms"], probes, measured["interval_ms"], one.get("distribution", "normal")
        )
        for one in links
    ]
    return Expectation(
        path_ms + sum(part.median_ms for part in parts),
        math.hypot(noise_ms, *(part.sigma_ms for part in parts)),
        math.hypot(*(part.median_half_ms for part in parts)),
        math.hypot(*(part.sigma_half_ms for part in parts)),
    )


def _allowed(link: dict[str, Any], expected: Expectation, coarse: Coarseness) -> tuple[float, float]:
    """Return by how many ms median and sigma may differ, beside what timers make later."""
    return (
        max(MEAN_TOLERANCE * link["delay_ms"], MEAN_FLOOR_MS) + expected.median_half_ms + coarse.median_ms,
        max(SIGMA_TOLERANCE * link["jitter_ms"], SIGMA_FLOOR_MS) + expected.sigma_half_ms + coarse.sigma_ms,
    )


def _off(link: dict[str, Any], found: Estimate, expected: Expectation, coarse: Coarseness) -> list[str]:
    problems = []
    allowed_ms, allowed_sigma_ms = _allowed(link, expected, coarse)
    if not -allowed_ms <= found.median_ms - expected.median_ms <= allowed_ms + coarse.late_ms:
        late = _by_timers(coarse.late_ms)
        problems.append(
            f"delay {found.median_ms:.3f} ms, expected {expected.median_ms:.3f} ± {allowed_ms:.3f}{late} ms"
        )
    # Timers that are late spread delays, and never less.
    if not -allowed_sigma_ms <= found.quartile_sigma_ms - expected.sigma_ms <= allowed_sigma_ms + coarse.late_sigma_ms:
        late = _by_timers(coarse.late_sigma_ms)
        problems.append(
            f"jitter {found.quartile_sigma_ms:.3f} ms, expected {expected.sigma_ms:.3f} ± {allowed_sigma_ms:.3f}{late} ms"
        )
    return problems


def _by_timers(late_ms: float) -> str:
    return f" (+ {late_ms:.3f} by timers)" if late_ms else ""


def _blind(link: dict[str, Any], expected: Expectation, noise_ms: float, coarse: Coarseness) -> list[str]:
    """Return what the gate could not tell because it is wider here: a doubled delay, or a jitter that is not there."""
    problems = []
    allowed_ms, allowed_sigma_ms = _allowed(link, expected, coarse)
    allowed_ms += coarse.late_ms
    unsure_ms = coarse.late_ms + coarse.median_ms
    if allowed_ms >= link["delay_ms"] > allowed_ms - unsure_ms:
        problems.append(
            f"this machine's timers are late and its path wavers by {unsure_ms:.3f} ms together, "
            f"which leaves nothing to say about {link['delay_ms']:g} ms"
        )
    if allowed_sigma_ms >= expected.sigma_ms - noise_ms > allowed_sigma_ms - coarse.sigma_ms:
        problems.append(
            f"the path's own jitter of {noise_ms:.3f} ms wavers by {coarse.sigma_ms:.3f} ms, "
            f"which leaves nothing to say about the link's {link['jitter_ms']:g} ms"
        )
    return problems


def sentence(entry: dict[str, Any]) -> str:
    """Return a link's verdict in one line, for the terminal."""
    chain, _ = loss_of(entry)
    bursts = chain.inflation > 1
    by = " by IPv6" if entry.get("family") == 6 else ""
    target = f"{entry['source']} -> {entry['target']}{by}: {entry['delay_ms']:g} ± {entry['jitter_ms']:g} ms"
    target += f" {entry['distribution']}" if entry.get("distribution", "normal") != "normal" else ""
    target += f", {100 * chain.loss:.4g} %{' in bursts' if bursts else ''}"
    if entry["median_ms"] is None:
        return f"{target}: OFF: {'; '.join(entry['problems'])}"
    where = "" if entry["clock"] == "shared" else "round trip "
    found = f"measured {where}{entry['median_ms']:.3f} ± {entry['quartile_sigma_ms']:.3f} ms"
    alone_ms = entry["baseline_mean_ms"] if entry["control_median_ms"] is None else entry["control_median_ms"]
    if alone_ms is not None:
        found += f" (path alone {alone_ms:.3f}{', compensated' if entry['compensated_ms'] else ''})"
    if entry["late_ms"] or entry["widened_ms"] or entry["widened_sigma_ms"]:
        found += f", gate wider for this machine: timers + {entry['late_ms']:.3f}, path ± {entry['widened_ms']:.3f}, "
        found += f"jitter ± {entry['widened_sigma_ms']:.3f}{_by_timers(entry['late_sigma_ms'])} ms"
    if entry["clock"] == "shared":
        found += f", round trip {entry['round_trip_mean_ms']:.3f} ± {entry['round_trip_sigma_ms']:.3f} ms"
    found += f", lost {entry['lost']} of {entry['probes']} (notices {entry['loss_noticed_from_percent']:.2g} %)"
    if entry["reordered"]:
        low, high = entry["reordered_low_percent"], entry["reordered_high_percent"]
        found += f", overtaken {entry['reordered_percent']:.3g} % ({low:.2g}-{high:.2g})"
    if entry.get("tcp_mbit") is not None:
        formula = entry["tcp_formula_mbit"]
        found += f", TCP {entry['tcp_mbit']:.3g} Mbit/s" + (f" (formula {formula:.3g})" if formula else "")
    found += ": "
    return f"{target}: {found}" + ("ok" if entry["ok"] else f"OFF: {'; '.join(entry['problems'])}")
