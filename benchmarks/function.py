"""``python -m benchmarks.function``: the fast engine against plain scikit-learn, and how it grows with the texts.

The base line is the request option ``engine: "plain"``: a doubly fitted ``GridSearchCV`` with ``n_jobs=-1``, without
the seconds its process takes to start (its workers' start is in, as everybody's is). Each model is run plainly once,
and fast before and after it; both see the same cores. Beside the clock's times stand processor times, without any
process's start: on a machine that others use too they are the fairer ones.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import msgspec

from app.function import Request, run, warm_up
from app.request import Model
from app.threads import cores
from experiments.dataset import load

MODELS: tuple[str, ...] = get_args(Model)
LINEAR = ("pac", "log", "mnb")
GROWTH = (315, 3150, 31_500)
PEER_TEXTS = 315
MEGA = 1e6


@dataclass(frozen=True, slots=True)
class Comparison:
    """One model: seconds by the clock and of processor, plain and fast, and whether the replies are the same."""

    model: str
    plain_s: float
    plain_cpu_s: float
    fast_s: float
    fast_cpu_s: float
    equal: bool

    @property
    def ratio(self) -> float:
        """How many times faster by the clock."""
        return self.plain_s / self.fast_s

    @property
    def cpu_ratio(self) -> float:
        """How many times less processor time."""
        return self.plain_cpu_s / self.fast_cpu_s


@dataclass(frozen=True, slots=True)
class Growth:
    """One request in a fresh process: sizes in bytes, times in seconds; ``peak_bytes`` is above the idle process."""

    model: str
    texts: int
    json_bytes: int
    parse_s: float
    run_s: float
    cpu_s: float
    idle_bytes: int
    peak_bytes: int


def compare(model: str, x: dict[str, str], y: dict[str, str], start_cpu_s: float) -> Comparison:
    """Run a model fast twice, plainly once, fast three times more; the fast times are the medians.

    ``start_cpu_s`` is the processor time that a plain search of next to nothing takes; it is taken off.
    """
    fast = [_fast(model, x, y) for _ in range(2)]
    before = _children_cpu_s()
    plain = run(Request(x_dict=x, y_dict=y, model=model, engine="plain"))  # type: ignore[arg-type]
    plain_cpu_s = _children_cpu_s() - before - start_cpu_s
    fast += [_fast(model, x, y) for _ in range(3)]
    return Comparison(
        model=model,
        plain_s=sum(plain.phases_ms.values()) / 1e3,
        plain_cpu_s=plain_cpu_s,
        fast_s=statistics.median(wall for wall, _, _ in fast),
        fast_cpu_s=statistics.median(cpu for _, cpu, _ in fast),
        equal=all(_same(reply, plain.reply) for _, _, reply in fast),
    )


def grow(body: Path, model: str) -> Growth:
    """Answer one request of a JSON file in this process and say what it took."""
    warm_up()
    run(Request(**_small(), model=model))  # type: ignore[arg-type]
    idle_bytes = _status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here, proc(5)
    started, cpu = time.perf_counter(), time.process_time()
    content = body.read_bytes()
    json_bytes = len(content)
    request = msgspec.json.decode(content, type=Request)
    del content  # as the server does
    request = msgspec.structs.replace(request, model=model)
    parsed = time.perf_counter()
    run(request)
    return Growth(
        model=model,
        texts=len(request.x_dict),
        json_bytes=json_bytes,
        parse_s=parsed - started,
        run_s=time.perf_counter() - parsed,
        cpu_s=time.process_time() - cpu,
        idle_bytes=idle_bytes,
        peak_bytes=_status_bytes("VmHWM") - idle_bytes,
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; returns 1 where a reply differs from plain scikit-learn's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.function", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="MODEL")
    parser.add_argument("--dataset", default="synthetic", help="synthetic, bbc, or a file as for `experiment`")
    parser.add_argument("--texts", type=int, default=PEER_TEXTS, help="texts to compare on (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the synthetic texts (default: %(default)s)")
    parser.add_argument("--growth", nargs="*", type=int, default=list(GROWTH), metavar="TEXTS", help="none: no growth")
    parser.add_argument("--one", nargs=2, metavar=("BODY", "MODEL"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(asdict(grow(Path(options.one[0]), options.one[1]))))
        return 0
    data = load(options.dataset, texts=options.texts, seed=options.seed)
    x, y = _keyed(data.texts), _keyed(data.labels)
    print(f"{len(x)} texts ({data.source}), {sum(map(len, data.texts)) / MEGA:.1f} million characters, {cores()} cores")
    print("model   plain s   fast s   ratio   plain cpu s   fast cpu s   ratio   equal")
    warm_up()
    before = _children_cpu_s()
    run(Request(**_small(), model="mnb", repeats=1, grid={"alpha": [1.0]}, engine="plain"))
    start_cpu_s = _children_cpu_s() - before
    compared = []
    for model in options.models:
        each = compare(model, x, y, start_cpu_s)
        compared.append(each)
        print(
            f"{each.model:<5}{each.plain_s:>10.2f}{each.fast_s:>9.3f}{each.ratio:>8.1f}{each.plain_cpu_s:>14.2f}"
            f"{each.fast_cpu_s:>13.3f}{each.cpu_ratio:>8.1f}   {'yes' if each.equal else 'NO'}",
            flush=True,
        )
    if compared:
        ratios = [each.ratio for each in compared]
        cpu_ratios = [each.cpu_ratio for each in compared]
        print(f"median{statistics.median(ratios):>26.1f}{statistics.median(cpu_ratios):>35.1f}")
        print(f"least {min(ratios):>26.1f}{min(cpu_ratios):>35.1f}")
    if options.growth:
        _print_growth(options.growth, [model for model in LINEAR if model in options.models], options.seed)
    return 0 if all(each.equal for each in compared) else 1


def _print_growth(sizes: list[int], models: list[str], seed: int) -> None:
    print(
        "\nmodel   texts   JSON MB   parse s    run s    cpu s   s a MB   peak MB over idle   times the JSON   idle MB"
    )
    with tempfile.TemporaryDirectory() as folder:
        body = Path(folder, "body.json")
        for texts in sizes:
            data = load("synthetic", texts=texts, seed=seed)
            body.write_bytes(msgspec.json.encode({"x_dict": _keyed(data.texts), "y_dict": _keyed(data.labels)}))
            for model in models:
                command = [sys.executable, "-m", "benchmarks.function", "--one", str(body), model]
                each = Growth(**json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
                print(
                    f"{each.model:<5}{each.texts:>8}{each.json_bytes / MEGA:>10.1f}{each.parse_s:>10.3f}"
                    f"{each.run_s:>9.2f}{each.cpu_s:>9.2f}{each.run_s / each.json_bytes * MEGA:>9.3f}{each.peak_bytes / MEGA:>20.0f}"
                    f"{each.peak_bytes / each.json_bytes:>17.1f}{each.idle_bytes / MEGA:>10.0f}",
                    flush=True,
                )


def _fast(model: str, x: dict[str, str], y: dict[str, str]) -> tuple[float, float, dict[str, Any]]:
    started, cpu = time.perf_counter(), time.process_time()
    reply = run(Request(x_dict=x, y_dict=y, model=model)).reply  # type: ignore[arg-type]
    return time.perf_counter() - started, time.process_time() - cpu, reply


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if one["best parameters"] != other["best parameters"]:
        return False
    return all(abs(one[key] - other[key]) <= 1e-12 for key in ("accuracy (validation)", "accuracy (test)"))  # noqa: PLR2004


def _keyed(values: tuple[str, ...]) -> dict[str, str]:
    return {str(place): value for place, value in enumerate(values)}


def _small() -> dict[str, dict[str, str]]:
    places = [str(place) for place in range(60)]
    return {
        "x_dict": {place: f"word{place} term{int(place) % 7} thing{int(place) % 5}" for place in places},
        "y_dict": {place: "REAL" if int(place) % 2 else "FAKE" for place in places},
    }


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


if __name__ == "__main__":
    sys.exit(main())
