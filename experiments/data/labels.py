"""Labels as people write them: two spellings of one would be two classes, and a missing one a class of its own."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

from experiments.data.content import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from experiments.data.content import Content

# What programs write where there is no label; JavaScript, pandas and R among them.
MISSING = ("", "nan", "null", "<na>")
WHOLE = re.compile(r"([+-]?\d+)\.0*")
# The function takes no longer ones (app/request.py).
LONGEST = 200
LISTED = 6
LISTED_CHARACTERS = 25


def checked(content: Content) -> tuple[str, ...]:
    """Return the labels without the blanks around them.

    Raises:
        DatasetError: labels are missing, too long, or differ only by case, blanks or ".0"; the message counts them.
    """
    counts = Counter(content.labels)
    spellings: dict[str, list[str]] = {}
    for label in counts:
        spellings.setdefault(_folded(label), []).append(label)
    if missing := [label for name in MISSING for label in spellings.get(name, ())]:
        total = sum(counts[label] for label in missing)
        first = next(index for index, label in enumerate(content.labels) if label in missing)
        where = f"; the first is {content.places[first]}" if content.places else ""
        raise DatasetError(
            f"{content.name}: {total} of {len(content.labels)} labels are missing: {_listed(missing, counts)}{where}; "
            "label these texts, or remove them"
        )
    if alike := [label for same in spellings.values() if len(same) > 1 for label in same]:
        raise DatasetError(
            f"{content.name}: labels differ only by case, blanks or '.0': {_listed(alike, counts)}; "
            "write each label in one way"
        )
    if too_long := next((label for label in counts if len(label) > LONGEST), None):
        raise DatasetError(
            f"{content.name}: a label has {len(too_long)} characters, at most {LONGEST} allowed: "
            f"{too_long[:LISTED_CHARACTERS]!r}…; are texts and labels exchanged?"
        )
    return tuple(label.strip() for label in content.labels)


def _folded(label: str) -> str:
    words = "".join(unicodedata.normalize("NFKC", label).casefold().split())
    whole = WHOLE.fullmatch(words)
    return whole[1] if whole else words


def _listed(labels: Iterable[str], counts: Counter[str]) -> str:
    each = [f"{label[:LISTED_CHARACTERS]!r} ({counts[label]})" for label in labels]
    more = f" and {len(each) - LISTED} more" if len(each) > LISTED else ""
    return ", ".join(each[:LISTED]) + more
