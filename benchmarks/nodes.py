"""``python -m benchmarks.nodes``: what a testbed of many nodes costs, from no node to links that were verified.

Labs of network namespaces on this machine, through the project's own playbooks. Every node is linked to every other, up
to ``--all-pairs`` nodes; larger labs have links between three base stations and all other nodes, both ways. CPU is what
the whole machine spent. The targets are those of 272 links between 17 nodes, and of 50 nodes that answer.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import permutations, product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from testbed import TrialLab, trial_lab  # noqa: E402

SIZES = SMALL, LINKED, MOST = (4, 17, 50)  # how many nodes
BASE_STATIONS = 3
EDGE = {"delay_ms": 1.25, "jitter_ms": 0.25, "loss_percent": 0.02}
LAB_TARGET_S, SHAPE_TARGET_S, VERIFY_TARGET_S, CLEAR_TARGET_S = 30.0, 15.0, 60.0, 5.0
HEAD = (
    f"{'nodes':>5}{'links':>7}{'lab s':>8}{'shape s':>9}{'verify s':>10}{'clear s':>9}{'CPU s':>8}{'emulators':>11}"
    f"{'MiB':>7}{'off':>5}{'median error us':>17}"
)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; returns 1 where a target is missed, 2 where this machine cannot make nodes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nodes", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--nodes", type=int, nargs="+", default=SIZES, help="how many nodes the labs have (4, 17 and 50)"
    )
    parser.add_argument("--all-pairs", type=int, default=LINKED, help="up to so many nodes every pair is linked (17)")
    parser.add_argument("--deadline-s", type=float, default=600, help="how long one playbook may take (600)")
    parser.add_argument("--verbose", action="store_true", help="also print which tasks took longest")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print("python -m benchmarks.nodes: network namespaces need root: run it again with sudo.")
        return 2
    print(HEAD, flush=True)
    met = True
    for count in options.nodes:
        with tempfile.TemporaryDirectory() as folder, trial_lab(Path(folder)) as lab:
            row = measure(lab, count, options)
        print(line(row), flush=True)
        met &= count != MOST or within(row["lab_s"], LAB_TARGET_S)
        met &= count != LINKED or (
            within(row["shape_s"], SHAPE_TARGET_S)
            and within(row["verify_s"], VERIFY_TARGET_S)
            and within(row["clear_s"], CLEAR_TARGET_S)
        )
    print(
        f"targets: 50 nodes in {LAB_TARGET_S:g} s; 272 links shaped in {SHAPE_TARGET_S:g} s, verified in "
        f"{VERIFY_TARGET_S:g} s, cleared in {CLEAR_TARGET_S:g} s; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} "
        "cores"
    )
    return int(not met)


def within(seconds: float | None, target_s: float) -> bool:
    """Whether a step ended, and in time."""
    return seconds is not None and seconds <= target_s


def measure(lab: TrialLab, count: int, options: argparse.Namespace) -> dict[str, Any]:
    """Make a lab of so many nodes, shape, verify and clear its links; a step that fails or takes too long is None."""
    stations = 1 if count < 2 * BASE_STATIONS else BASE_STATIONS
    base_stations = [f"bs-{number + 1}" for number in range(stations)]
    compute = [f"edge-{number + 1}" for number in range(count - stations)]
    lab.describe({"base_stations": tuple(base_stations), "edge": tuple(compute)})
    pairs = (
        list(permutations([*base_stations, *compute], 2))
        if count <= options.all_pairs
        else [pair for one, other in product(base_stations, compute) for pair in ((one, other), (other, one))]
    )
    links = [{"source": source, "target": target, **EDGE} for source, target in pairs]
    report = lab.inventory.parent / "links.json"
    variables = lab.inventory.parent / "links.yml"
    variables.write_text(json.dumps({"netem_links": links, "netem_report_file": str(report), "netem_stream_s": 2}))
    busy, free = busy_s(), available_mib()
    row: dict[str, Any] = {"nodes": count, "links": len(links)}
    row["lab_s"] = timed(lab, "lab", options)
    row["shape_s"] = timed(lab, "links", options, "-e", f"@{variables}")
    row["emulators"], row["mib"] = emulators(lab), free - available_mib()
    row["verify_s"] = timed(lab, "verify", options, "-e", f"@{variables}")
    row["clear_s"] = timed(lab, "clear", options)
    row["cpu_s"] = busy_s() - busy
    entries = json.loads(report.read_text())["links"] if report.exists() else []
    row["off"] = sum(not entry["ok"] for entry in entries) if entries else None
    errors = [
        1000 * (entry["delay"]["median_ms"] - entry["expected"]["median_ms"]) for entry in entries if entry["delay"]
    ]
    row["errors_us"] = errors
    return row


def timed(lab: TrialLab, playbook: str, options: argparse.Namespace, *arguments: str) -> float | None:
    """Return how long a playbook took, or None where it failed or did not end in time."""
    started = time.monotonic()
    command = lab.command(f"playbooks/{playbook}.yml", *arguments)
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1"}, capture_output=True, text=True, check=False,
            timeout=options.deadline_s, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        print(f"  {playbook} did not end within {options.deadline_s:g} s", file=sys.stderr)
        return None
    seconds = time.monotonic() - started
    if options.verbose:
        print(
            "\n".join(
                f"  {playbook}: {text}" for text in done.stdout.splitlines() if text.endswith(" s)") or " s  " in text
            )
        )
    if done.returncode:
        reasons = [text[:500] for text in done.stdout.splitlines() if text.startswith(("fatal:", "[ERROR]"))]
        print(f"  {playbook} failed: {reasons[:3]}", file=sys.stderr)
    return seconds if done.returncode == 0 else None


def emulators(lab: TrialLab) -> int:
    """How many emulator processes run on the nodes of a lab."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program = path.read_bytes().split(b"\0")[1:2]
        except OSError:  # it has ended
            continue
        count += program == [f"{lab.state_dir}/netem/emulator.py".encode()]
    return count


def busy_s() -> float:
    """Seconds of CPU time that this machine spent so far."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4] - ticks[7]) / os.sysconf("SC_CLK_TCK")


def available_mib() -> int:
    """Memory that is left on this machine."""
    words = {text.split(":")[0]: text.split()[1] for text in Path("/proc/meminfo").read_text().splitlines()}
    return int(words["MemAvailable"]) // 1024


def line(row: dict[str, Any]) -> str:
    """One row of the table; a step that did not end is a dash."""

    def shown(key: str) -> str:
        return "-" if row[key] is None else f"{row[key]:.1f}" if isinstance(row[key], float) else str(row[key])

    errors = sorted(row["errors_us"])
    error = f"{statistics.median(errors):+.0f} ({errors[0]:+.0f} to {errors[-1]:+.0f})" if errors else "-"
    return (
        f"{row['nodes']:>5}{row['links']:>7}{shown('lab_s'):>8}{shown('shape_s'):>9}{shown('verify_s'):>10}"
        f"{shown('clear_s'):>9}{shown('cpu_s'):>8}{row['emulators']:>11}{row['mib']:>7}{shown('off'):>5}{error:>22}"
    )


if __name__ == "__main__":
    sys.exit(main())
