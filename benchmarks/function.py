"""``python -m benchmarks.function``: the function against plain scikit-learn: speed, equality, growth.

Speed: for each model the plain doubly fitted ``GridSearchCV(n_jobs=-1)`` and the fast engine on the same texts, on the
same cores, one after the other in one process; the fast one is timed several times and its median is kept. A machine
that others use makes both slower, but not by the same factor: the load is printed with each line. CPU seconds count
the process and its workers, so they bear noise better than seconds.

Equality: the best parameters and both accuracies of the two engines, side by side.

Growth: the fast engine on 315, 3150 and 31,500 texts, each in a process of its own. Its memory is told in columns:
``idle`` is the process that has served the peer's example before, as a replica has served its warm-up (interpreter,
libraries, compiled code: the same for any number of texts), ``peak`` its most while it serves the request, and
``x JSON`` the difference as a multiple of the request's bytes, which are among it until they are decoded. ``of all`` is
the whole peak as a multiple of them. A line that takes longer than --most-s seconds is given up, which the table shows.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from app.errors import Cancelled
from app.function import run, warm_up
from app.models import MODELS, NAMES
from app.request import Request
from app.search.plain import PlainSearch, search
from app.search.threads import cores
from app.text.dataset import read_dataset

if TYPE_CHECKING:
    from collections.abc import Callable

NEWS = Path(__file__).resolve().parents[2] / "shared" / "data" / "news-315.json"
LINEAR = ("pac", "log", "mnb")
TARGETS = {"pac": 30.0}
MEDIAN_TARGET, LEAST_TARGET = 15.0, 3.0
FAST_RUNS = 5


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; returns 1 where a target of the speed table is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.function", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--news", type=Path, default=NEWS, help="the peer's example, news-315.json")
    parser.add_argument("--models", default=",".join(NAMES), help="which models, by comma (default: all)")
    parser.add_argument("--growth", default=",".join(LINEAR), help="models of the growth table, or none")
    parser.add_argument("--texts", default="315,3150,31500", help="numbers of texts of the growth table")
    parser.add_argument("--most-s", type=float, default=300.0, help="seconds a line of the growth table may take (300)")
    parser.add_argument("--grow", nargs=2, metavar=("MODEL", "TEXTS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not options.news.exists():
        print(f"python -m benchmarks.function: there is no {options.news}; name the peer's example with --news.")
        return 2
    example = msgspec.json.decode(options.news.read_bytes())
    if options.grow:
        print(json.dumps(grow(example, options.grow[0], int(options.grow[1]), options.most_s)))
        return 0
    models = [model for model in options.models.split(",") if model]
    met = speed_table(example, models) if models else True
    grown = [model for model in options.growth.split(",") if model and model != "none"]
    if grown:
        growth_table(options.news, grown, [int(texts) for texts in options.texts.split(",")], options.most_s)
    return 0 if met else 1


def speed_table(example: dict[str, Any], models: list[str]) -> bool:
    """Plain and fast, model by model; says whether the targets are met."""
    print(f"{len(example['x_dict'])} texts, {cores()} core(s)")
    print("model   plain s   fast s   ratio  plain CPU s  fast CPU s   ratio   load")
    warm_up()
    ratios: dict[str, float] = {}
    replies: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for model in models:
        request = msgspec.convert({**example, "model": model}, Request)
        run(request)
        fast = [timed(lambda request: run(request).reply, request) for _ in range(FAST_RUNS)]
        fast_s = statistics.median(seconds for seconds, _, _ in fast)
        fast_cpu_s = statistics.median(cpu_s for _, cpu_s, _ in fast)
        plain_s, plain_cpu_s, plain = timed(plainly, request)
        replies[model] = fast[0][2], plain
        ratios[model] = plain_s / fast_s
        print(
            f"{model:<6}{plain_s:>9.2f}{fast_s:>9.3f}{ratios[model]:>8.1f}{plain_cpu_s:>13.2f}{fast_cpu_s:>12.3f}"
            f"{plain_cpu_s / fast_cpu_s:>8.1f}{os.getloadavg()[0]:>7.1f}",
            flush=True,
        )
    median = statistics.median(ratios.values())
    print(f"median ratio {median:.1f} (aim {MEDIAN_TARGET:g}), least {min(ratios.values()):.1f} (aim {LEAST_TARGET:g})")
    return (
        equality_table(replies)
        and all(ratios[model] >= least for model, least in TARGETS.items() if model in ratios)
        and median >= MEDIAN_TARGET
        and min(ratios.values()) >= LEAST_TARGET
    )


def equality_table(replies: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> bool:
    """What both engines reply, model by model; says whether it is equal, accuracies to 1e-12."""
    print("\nmodel  engine  validation            test                  best parameters")
    all_equal = True
    for model, (fast, plain) in replies.items():
        rows = {
            "plain": (plain["validation"], plain["test"], plain["parameters"]),
            "fast": (fast["accuracy (validation)"], fast["accuracy (test)"], fast["best parameters"]),
        }
        (validation, test, parameters), (own_validation, own_test, own_parameters) = rows.values()
        differences = abs(validation - own_validation), abs(test - own_test)
        equal = parameters == own_parameters and max(differences) <= 1e-12  # noqa: PLR2004 - what equal means
        all_equal &= equal
        for engine, (mean, accuracy, point) in rows.items():
            print(f"{model:<7}{engine:<8}{mean!r:<22}{accuracy!r:<22}{point}")
        print(f"{'':<7}{'equal' if equal else 'NOT EQUAL'}, differences {differences[0]:g} and {differences[1]:g}")
    return all_equal


def plainly(request: Request) -> dict[str, Any]:
    """The plain search in this process, its workers as joblib makes them."""
    dataset = read_dataset(request)
    os.environ["PYTHONWARNINGS"] = "ignore"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return search(
            PlainSearch(
                [dataset.texts[row] for row in dataset.train],
                dataset.target[dataset.train].tolist(),
                [dataset.texts[row] for row in dataset.test],
                dataset.target[dataset.test].tolist(),
                request.model,
                MODELS[request.model].peer_grid(len(dataset.train), len(dataset.classes)),
                request.folds,
                request.repeats,
                request.folds_seed,
                request.model_seed,
            )
        )


def timed(call: Callable[[Request], dict[str, Any]], request: Request) -> tuple[float, float, dict[str, Any]]:
    """Seconds, CPU seconds of this process and its workers, and what the call returned."""
    before, started = cpu_seconds(), time.perf_counter()
    result = call(request)
    return time.perf_counter() - started, cpu_seconds() - before, result


def cpu_seconds() -> float:
    """CPU seconds of this process and of all its children, also of those that still run."""
    own = time.process_time()
    ticks = os.sysconf("SC_CLK_TCK")
    for children in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        with suppress(FileNotFoundError):  # threads and workers come and go
            for pid in children.read_text(encoding="ascii").split():
                fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
                own += (int(fields[11]) + int(fields[12])) / ticks
    return own


def growth_table(news: Path, models: list[str], sizes: list[int], most_s: float) -> None:
    """Time and peak memory of the fast engine as the texts grow, one process a line."""
    print("\nmodel   texts  JSON MB        s    CPU s  CPU s/MB   idle MB  peak MB   x JSON   of all   load")
    for model in models:
        for size in sizes:
            command = [sys.executable, "-m", "benchmarks.function", "--news", str(news), "--most-s", str(most_s)]
            done = subprocess.run([*command, "--grow", model, str(size)], stdout=subprocess.PIPE, check=True, text=True)
            line = json.loads(done.stdout)
            json_mb = line["json_mb"]
            grown = (line["peak_mb"] - line["idle_mb"]) / json_mb
            print(
                f"{model:<6}{size:>7}{json_mb:>9.1f}{line['s']:>9.2f}{line['cpu_s']:>9.2f}"
                f"{line['cpu_s'] / json_mb:>10.3f}{line['idle_mb']:>10.0f}{line['peak_mb']:>9.0f}"
                f"{grown:>9.1f}{line['peak_mb'] / json_mb:>9.1f}{os.getloadavg()[0]:>7.1f}"
                f"{'' if line['ended'] else f'  given up after {most_s:g} s'}",
                flush=True,
            )


def grow(example: dict[str, Any], model: str, size: int, most_s: float) -> dict[str, float]:
    """One line of the growth table, measured in this process: from the JSON's bytes to the reply."""
    with tempfile.TemporaryFile() as file:  # memory that made the texts is no memory of the function's
        file.write(generated(example, size))
        file.seek(0)
        run(msgspec.convert({**example, "model": model}, Request))
        del example
        decoder = msgspec.json.Decoder(Request)
        release_memory()
        idle_mb = memory_mb("VmRSS")
        body = file.read()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): resets VmHWM
    started, cpu = time.perf_counter(), time.process_time()
    request = msgspec.structs.replace(decoder.decode(body), model=model)
    json_mb = len(body) / 1e6
    del body  # as the server does
    try:
        run(request, lambda: time.perf_counter() - started > most_s)
        ended = True
    except Cancelled:
        ended = False
    return {
        "json_mb": json_mb,
        "s": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu,
        "idle_mb": idle_mb,
        "peak_mb": memory_mb("VmHWM"),
        "ended": ended,
    }


def release_memory() -> None:
    """Give back what making the texts left in malloc's hands, so that the idle process is as small as a fresh one."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def generated(example: dict[str, Any], size: int) -> bytes:
    """A request of so many texts: the example itself, then its texts with a third of their words from the others'.

    A word in fifty is new, so that the vocabulary goes on growing as it does in real news.
    """
    draw = random.Random(1)  # noqa: S311 - texts, not secrets
    texts, labels = list(example["x_dict"].values()), list(example["y_dict"].values())
    words = [word for text in texts for word in text.split()]
    x, y = {}, {}
    for number in range(size):
        mine = texts[number % len(texts)].split()
        if number >= len(texts):
            mine = [
                f"w{draw.randrange(10**9)}" if draw.random() < 0.02  # noqa: PLR2004
                else draw.choice(words) if draw.random() < 1 / 3
                else word
                for word in mine
            ]  # fmt: skip
        x[str(number)], y[str(number)] = " ".join(mine), labels[number % len(texts)]
    return msgspec.json.encode({"x_dict": x, "y_dict": y})


def memory_mb(which: str) -> float:
    """Resident memory of this process, in MB: VmRSS now, VmHWM at most since it was reset."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{which}:")) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
