"""The request: the peer's three keys, and options that change its default policy."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Model = Literal["pac", "log", "mnb", "mlpc", "svc", "dt", "kn", "rf"]
Label = Annotated[str, msgspec.Meta(max_length=200)]
Value = bool | int | float | str | list[int] | None
Values = Annotated[list[Value], msgspec.Meta(min_length=1, max_length=100)]

PEER_SPLIT_SEED = 6
PEER_FOLDS_SEED = 1
MODEL_SEED = 1


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Texts, their labels, and how to search.

    The defaults are the policy of the study's function (fcarp10/serverless-functions, fake-news-train): a fifth of the
    texts is kept for the test, every point of the grid is cross-validated in two folds three times over.

    One seed rule: without ``seed`` the split and the folds are the peer's (seeds 6 and 1) and the models, which the
    peer leaves unseeded, take 1; with ``seed`` all three take that number. So equal requests have equal replies.
    """

    x_dict: dict[str, str]
    y_dict: dict[str, Label]
    model: Model = "pac"
    folds: Annotated[int, msgspec.Meta(ge=2, le=100)] = 2
    repeats: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    grid: Annotated[dict[str, Values], msgspec.Meta(min_length=1, max_length=16)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] | None = None
    test_size: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    engine: Literal["fast", "plain"] = "fast"

    @property
    def split_seed(self) -> int:
        """Seed of the split into training and test texts."""
        return PEER_SPLIT_SEED if self.seed is None else self.seed

    @property
    def folds_seed(self) -> int:
        """Seed of the repeated stratified folds."""
        return PEER_FOLDS_SEED if self.seed is None else self.seed

    @property
    def model_seed(self) -> int:
        """Seed of the models that draw numbers."""
        return MODEL_SEED if self.seed is None else self.seed
