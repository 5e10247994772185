"""Verifications of runs before schema 2, whose entries were flat: read into the shape that they have since."""

from __future__ import annotations

from typing import Any

ESTIMATE = ("mean_ms", "mean_low_ms", "mean_high_ms", "sigma_ms", "sigma_low_ms", "sigma_high_ms")


def upgraded(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report of schema 1 as one of schema 2; what is no report is returned as it is, to be refused."""
    links = report.get("links")
    if not isinstance(links, list):
        return report
    return report | {"schema": 2, "links": [_entry(one) if isinstance(one, dict) else one for one in links]}


def _entry(flat: dict[str, Any]) -> dict[str, Any]:
    try:
        return _upgraded(flat)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        return flat


def _upgraded(flat: dict[str, Any]) -> dict[str, Any]:
    measured = flat.get("mean_ms") is not None
    round_trip = _round_trip(flat) if flat.get("round_trip_mean_ms") is not None else None
    return {
        "link": {"source": flat["source"], "target": flat["target"], "shape": _shape(flat)},
        "family": flat.get("family", 4),
        "clock": flat["clock"],
        "probes": {"sent": flat["probes"], "received": flat["received"]},
        "loss": {
            "count": flat["lost"],
            "percent": flat["loss_measured_percent"],
            "low_percent": flat.get("loss_low_percent"),
            "high_percent": flat.get("loss_high_percent"),
            "detectable_percent": flat.get("loss_noticed_from_percent"),
        },
        "reordered": _reordered(flat),
        "path": {
            "baseline": _level(flat.get("baseline_mean_ms"), flat.get("baseline_sigma_ms")),
            "control": _level(flat.get("control_median_ms"), flat.get("control_sigma_ms")),
            "compensated_ms": flat.get("compensated_ms"),
        },
        "delay": {key: flat[key] for key in ESTIMATE} if measured else None,
        "round_trip": round_trip,
        "expected": _level(flat.get("expected_median_ms"), flat.get("expected_sigma_ms"))
        or _level(flat["delay_ms"], flat["jitter_ms"]),
        "gate": {
            "late_ms": flat.get("late_ms") or 0.0,
            "late_sigma_ms": flat.get("late_sigma_ms") or 0.0,
            "median_ms": flat.get("widened_ms") or 0.0,
            "sigma_ms": flat.get("widened_sigma_ms") or 0.0,
        },
        "tcp": {"mbit": flat["tcp_mbit"], "formula_mbit": flat.get("tcp_formula_mbit")}
        if flat.get("tcp_mbit")
        else None,
        "histogram": flat.get("histogram"),
        "ok": flat["ok"],
        "problems": flat.get("problems", []),
    }


def _round_trip(flat: dict[str, Any]) -> dict[str, float]:
    sigma_ms = flat["round_trip_sigma_ms"]
    return {
        "mean_ms": flat["round_trip_mean_ms"], "mean_low_ms": flat["round_trip_low_ms"],
        "mean_high_ms": flat["round_trip_high_ms"],
        # Its interval was not kept; nobody shows it.
        "sigma_ms": sigma_ms, "sigma_low_ms": sigma_ms, "sigma_high_ms": sigma_ms,
    }  # fmt: skip


def _level(median_ms: float | None, sigma_ms: float | None) -> dict[str, float] | None:
    return None if median_ms is None or sigma_ms is None else {"median_ms": median_ms, "sigma_ms": sigma_ms}


def _reordered(flat: dict[str, Any]) -> dict[str, Any] | None:
    if flat.get("reordered_percent") is None:
        return None
    return {
        "count": flat["reordered"],
        "percent": flat["reordered_percent"],
        "low_percent": flat.get("reordered_low_percent"),
        "high_percent": flat.get("reordered_high_percent"),
    }


def _shape(flat: dict[str, Any]) -> str:
    """Return what was asked for, in fewer words than the link itself has: not all of it was kept."""
    chain, loss_percent = flat.get("gilbert_elliott"), flat["loss_percent"]
    if chain:
        enter = chain["enter_percent"]
        # A chain that is never entered has no bad part, however it is left.
        bad = enter / (enter + chain["leave_percent"]) if enter else 0.0
        in_bad, in_good = chain.get("bad_loss_percent", 100.0), chain.get("good_loss_percent", 0.0)
        loss_percent = bad * in_bad + (1 - bad) * in_good
    distribution = flat.get("distribution") or "normal"
    words = f"{flat['delay_ms']:g} ms"
    words += f" ± {flat['jitter_ms']:g} ms{'' if distribution == 'normal' else f' {distribution}'}"
    words += f", {loss_percent:.4g} % loss"
    words += " in bursts" if chain or flat.get("loss_correlation_percent") else ""
    words += f", {flat['rate_mbit']:g} Mbit/s" if flat.get("rate_mbit") else ""
    return words if flat["reorder"] else f"{words}, order kept"
