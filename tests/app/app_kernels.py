"""The compiled kernels of a process, and requests that need them."""

from __future__ import annotations

import sys
import warnings

import corpora
from numba.core.dispatcher import Dispatcher

from app.function import run
from app.models import NAMES


def versions() -> dict[str, int]:
    """For how many types of arguments each kernel of the function's modules was compiled, or loaded."""
    modules = {name: module for name, module in sys.modules.items() if name.startswith("app.")}
    return {
        f"{name}.{word}": len(kernel.overloads)
        for name, module in modules.items()
        for word, kernel in vars(module).items()
        if isinstance(kernel, Dispatcher) and kernel.__module__ == name
    }


def request_each_model() -> None:
    x, y = corpora.generated(texts=60, labels=2, seed=9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in NAMES:
            run(corpora.request(x, y, model=model, repeats=1))
