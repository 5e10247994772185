"""The surfaces that tests of hostile input share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Runs and functions that other tests have, too.
TESTS = Path(__file__).resolve().parents[1]
sys.path.extend(str(TESTS / name) for name in ("collect", "app"))

from surfaces_by_name import Surfaces  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surfaces]:
    """All surfaces, each opened when it is first used."""
    with Surfaces(tmp_path_factory.mktemp("hostile")) as opened:
        yield opened
