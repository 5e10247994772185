"""Whatever comes in, each surface answers as designed: mutations of the table's rows and of good inputs.

`make test` tries a few, always the same; the long tests (`make test-long ROLE=hostile`) try new ones for FUZZ_S seconds a
surface, 600 unless it is set. The corpus is the table, whose rows are the seeds: what fails here becomes a row of
inputs/<surface>.yaml, by its falsifying example (or once more by the printed blob: `@reproduce_failure`), with the answer
that it should have, and then the product is fixed.
"""

from __future__ import annotations

import os
import random
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from mutations import INPUTS
from surfaces_by_name import SURFACES

if TYPE_CHECKING:
    from collections.abc import Callable

    from surfaces_by_name import Surfaces

FUZZ_S = float(os.environ.get("FUZZ_S") or 600)
# As many as take a second or a few; of a report, each takes one.
EXAMPLES = {"raw_http": 25, "run_folders": 6, "bodies": 40, "replies": 20}
ROUND = 200
# An answer by design, beside the sentences whose form the surfaces check.
RESPONSE = r"(200|400|404|405|408|413|415|422|505)( .+)?"
DESIGNED = {
    "bodies": r"200|(400|413|415|422) .+\.",
    "raw_http": rf"closed|{RESPONSE}( \| {RESPONSE})*",
    "run_folders": r"[0234]( .+)?|resumed on .+|\S.+",
    "packets": r"nothing|(\d+/\d+ ?)+|[012] answered, [012] arrived, -?\d+ duplicated",
}


def fuzz(
    surfaces: Surfaces, name: str, how: settings, *, is_over: Callable[[], bool] = lambda: False
) -> Callable[[], None]:
    """Return a run of a surface's fuzzer."""

    @how
    @given(INPUTS[name]())
    def answers_as_designed(inputs: dict[str, Any]) -> None:
        if is_over():
            return
        answer = surfaces[name].answer(**inputs)
        assert re.fullmatch(DESIGNED.get(name, r"\S.*"), answer, re.DOTALL), answer
        tried[name] = tried.get(name, 0) + 1

    return answers_as_designed


tried: dict[str, int] = {}


@pytest.mark.parametrize("name", SURFACES)
def test_what_is_like_a_bad_input_is_answered_as_designed(surfaces: Surfaces, name: str) -> None:
    how = settings(
        max_examples=EXAMPLES.get(name, 100), derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    fuzz(surfaces, name, how)()


@pytest.mark.long
@pytest.mark.timeout(FUZZ_S + 1200)
@pytest.mark.parametrize("name", SURFACES)
def test_whatever_comes_in_is_answered_as_designed(surfaces: Surfaces, name: str) -> None:
    surfaces[name]  # opening it is not fuzzing it
    end = time.monotonic() + FUZZ_S
    how = settings(max_examples=ROUND, database=None, print_blob=True, suppress_health_check=list(HealthCheck))
    while time.monotonic() < end:
        number = random.randrange(2**32)
        print(f"{name}: seed {number}")
        seed(number)(fuzz(surfaces, name, how, is_over=lambda: time.monotonic() > end))()
    print(f"{name}: {tried[name]} inputs")
