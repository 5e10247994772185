"""The request: the peer's three keys, and options that change its default policy."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.models.options import Options

Label = Annotated[str, msgspec.Meta(max_length=200)]


class Request(Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Texts, their labels, and how to search.

    The defaults are the policy of the study's function (fcarp10/serverless-functions, fake-news-train): a fifth of the
    texts is kept for the test, every point of the grid is cross-validated in two folds three times over.

    One seed rule: without ``seed`` the split and the folds are the peer's (seeds 6 and 1) and the models, which the
    peer leaves unseeded, take 1; with ``seed`` all three take that number. So equal requests have equal replies.
    """

    x_dict: dict[str, str]
    y_dict: dict[str, Label]
