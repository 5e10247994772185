"""The shapes of jitter: netem's distribution tables, from iproute2's own files or, without them, from their formula.

A table holds what a draw adds to the delay, in units of the jitter, at equal steps of probability. Those of iproute2
end at four units either way, and `pareto` and `paretonormal` are narrower than their name says: their standard
deviation is 0.82 and 0.83 of the jitter, and their mean 0.03 of it below the delay.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from statistics import NormalDist

SCALE = 8192  # NETEM_DIST_SCALE: a table file's integer for one jitter
LARGEST, SMALLEST = 32767, -32768  # they are 16 bits wide
SIZE = 4096
DISTRIBUTIONS = ("normal", "pareto", "paretonormal", "uniform")
# The lowest draw: a jitter above delay / this would ask for delays below zero, which netem sends at once.
DEPTH = {"normal": 4.0, "pareto": 2 / 3, "paretonormal": 1.5, "uniform": 1.0}
# Where distributions of Linux keep iproute2's tables; `tc` itself has one of them compiled in.
FOLDERS = ("/usr/lib/tc", "/usr/lib64/tc", "/usr/share/tc", "/lib/tc")


def shipped(distribution: str) -> Path | None:
    """Return iproute2's own file of a distribution, or None where it ships none (`uniform` nowhere)."""
    folders = [Path(folder) for folder in FOLDERS] + sorted(Path("/usr/lib").glob("*-linux-gnu*/tc"))
    return next((path for folder in folders if (path := folder / f"{distribution}.dist").is_file()), None)


def read_table(text: str) -> tuple[int, ...]:
    """Return the integers of a table file: anything between white space, lines that begin with # left out."""
    return tuple(int(word) for line in text.splitlines() if not line.startswith("#") for word in line.split())


@cache
def formula(distribution: str) -> tuple[int, ...]:
    """Return a table by the formula that iproute2's generators follow, clipped at 16 bits.

    normal: the quantiles. pareto: Pareto's with exponent 3, less its mean 1.5, times 4/3. paretonormal: a quarter of
    the one and three quarters of the other. uniform: from -1 to 1, as netem draws where it has no table.
    """
    steps = [step / SIZE for step in range(SIZE)]
    normal = [NormalDist().inv_cdf(max(step, 1e-9)) for step in steps]
    pareto = [((1 - step) ** (-1 / 3) - 1.5) * 4 / 3 for step in steps]
    values = {
        "normal": normal,
        "pareto": pareto,
        "paretonormal": [
            _clipped(one / 4 + 3 * min(other, LARGEST / SCALE) / 4) for one, other in zip(normal, pareto, strict=True)
        ],
        "uniform": [2 * step - 1 + 1 / SIZE for step in steps],
    }[distribution]
    return tuple(round(SCALE * _clipped(value)) for value in values)


def _clipped(value: float) -> float:
    return min(max(value, SMALLEST / SCALE), LARGEST / SCALE)


@cache
def table(distribution: str) -> tuple[int, ...]:
    """Return a distribution's table: iproute2's where this node has it, so that both backends draw from the same."""
    path = shipped(distribution)
    return read_table(path.read_text()) if path else formula(distribution)


def write_table(name: str, offsets: tuple[int, ...], folder: Path) -> None:
    """Write a table where `TC_LIB_DIR` points `tc` to: then `uniform` is one like the others and can be changed to."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [str(value) for value in offsets]
    rows = [" ".join(words[at : at + 8]) for at in range(0, len(words), 8)]
    (folder / f"{name}.dist").write_text("".join(f" {row}\n" for row in rows))


@cache
def quantile(offsets: tuple[int, ...], share: float) -> float:
    """Return a quantile of what a draw from a table adds, in units of the jitter; the share is 0 to 1."""
    ordered = sorted(offsets)
    at = share * (len(ordered) - 1)
    low = min(int(at), len(ordered) - 2)
    return (ordered[low] + (at - low) * (ordered[low + 1] - ordered[low])) / SCALE
