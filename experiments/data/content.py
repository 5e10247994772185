"""What a source of a data set holds, and the error of one that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.errors import FaasbedError

if TYPE_CHECKING:
    from collections.abc import Sequence


class DatasetError(FaasbedError):
    """A data set that is missing, or that is not one."""


@dataclass(frozen=True, slots=True)
class Content:
    """All texts and labels of a source, in its order; ``source`` says in a few words where they come from.

    ``places`` say where each label stands in a file, to follow "on", "in" or "at"; empty where there is no file.
    """

    name: str
    source: str
    texts: Sequence[str]
    labels: Sequence[str]
    places: Sequence[str] = ()
