"""A request's texts and labels, split as the peer splits them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split

from app.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from app.models.options import Options
    from app.request import Request


@dataclass(frozen=True, slots=True)
class Dataset:
    """Texts with their labels, the rows that train and test, and the rows of every fold.

    ``classes`` are the training labels in sorted order; ``target`` is each text's place among them (-1 for a label
    that only test texts have). ``folds`` yields pairs of training and validation rows, all in terms of ``texts``: ten
    thousand of them, which a request may ask for, do not fit into memory together.
    """

    texts: list[str]
    labels: list[str]
    classes: list[str]
    target: NDArray[np.int64]
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    folds: Callable[[], Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]]


def pair(request: Request) -> tuple[list[str], list[str]]:
    """Texts and labels by key, in the order of ``x_dict``; raises InputError where they do not pair up."""
    texts, labels = request.x_dict, request.y_dict
    if len(texts) != len(labels):
        raise InputError(
            f"x_dict has {len(texts)} texts but y_dict has {len(labels)} labels; each text needs one label."
        )
    if texts.keys() != labels.keys():
        key = next(key for key in texts if key not in labels)
        raise InputError(f"y_dict has no label for the text {key!r:.60} of x_dict; both need the same keys.")
    # One empty text among others is fine: the peer's own example has one, and it is simply a row of zeros.
    if not any(text and not text.isspace() for text in texts.values()):
        raise InputError("All texts of x_dict are empty; send texts with words.")
    return list(texts.values()), [labels[key] for key in texts]


def split(labels: Sequence[str], options: Options) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that train and the rows that test, for texts with these labels.

    Raises:
        InputError: there are too few texts or labels for the split and the folds.
    """
    if len(set(labels)) < 2:
        raise InputError(f"The texts have {len(set(labels))} label(s); training a classifier needs at least two.")
    rows = np.arange(len(labels))
    try:
        train, test = train_test_split(rows, test_size=options.test_size, random_state=options.split_seed)
    except ValueError:
        raise InputError(
            f"{len(labels)} texts are too few to keep a share of {options.test_size:g} for the test; send more texts."
        ) from None
    counts = Counter(labels[row] for row in train)
    if len(counts) < 2:
        raise InputError("The training texts all have one label after the split; send more texts of the other labels.")
    rarest = min(sorted(counts), key=counts.__getitem__)
    if counts[rarest] < options.folds:
        raise InputError(
            f"Label {rarest!r:.60} has {counts[rarest]} training text(s) but there are {options.folds} folds; "
            "every label needs at least as many as there are folds."
        )
    return train, test


def read_dataset(request: Request) -> Dataset:
    """Check the texts and labels of a request and split them.

    Raises:
        InputError: texts and labels do not pair up, a text is empty, or there are too few for the split and the folds.
    """
    texts, labels = pair(request)
    train, test = split(labels, request)
    classes = sorted({labels[row] for row in train})
    place = {label: index for index, label in enumerate(classes)}
    target = np.array([place.get(label, -1) for label in labels])
    splitter = RepeatedStratifiedKFold(
        n_splits=request.folds, n_repeats=request.repeats, random_state=request.folds_seed
    )

    def folds() -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        for fit, validate in splitter.split(train, target[train]):
            yield train[fit], train[validate]

    return Dataset(texts, labels, classes, target, train, test, folds)
