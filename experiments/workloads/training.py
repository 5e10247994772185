"""The workload of the paper: train a text classifier in the function, then the final model on the base station."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from app import models
from experiments.workloads.reading import TEST_ACCURACY
from experiments.workloads.trainer import Trainer
from experiments.workloads.workload import (
    FIRST,
    DataError,
    Draw,
    Name,
    Outcome,
    Reply,
    ReplyError,
    SettingsError,
    Shared,
    Split,
    Splits,
    Workload,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collect.records import RequestRecord
    from experiments.workloads.data import Cut

# Enough texts that two requests are at work at the same time also on a busy machine, or one replica could answer both.
PROBE_TEXTS = 400


Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
# A parameter of a model: a value, or a list of them. Far more than a model has, and less than a record bears.
MOST_PARAMETERS = 64
Word = Annotated[str, msgspec.Meta(max_length=256)]
Scalar = Word | int | float | bool | None
Value = Scalar | Annotated[list[Scalar], msgspec.Meta(max_length=MOST_PARAMETERS)]
Parameters = Annotated[dict[Word, Value], msgspec.Meta(max_length=MOST_PARAMETERS)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model, and options of the function (app/README.md); they also stand under ``function``."""

    model: str = "pac"
    options: dict[str, Any] = {}


class Trained(msgspec.Struct, frozen=True):
    """What the function replies, as far as the driver reads it; it may say more."""

    parameters: Parameters = msgspec.field(name="best parameters")
    accuracy_validation: Share | None = msgspec.field(name="accuracy (validation)", default=None)
    accuracy_function: Share | None = msgspec.field(name="accuracy (test)", default=None)
    replica: Name | None = None
    node: Name | None = None


class Training(Workload[Settings]):
    """Each request trains on its texts; the better reply's parameters train the final model on all of them."""

    name: ClassVar[str] = "training"
    settings_type = Settings
    _trainer: Trainer

    @property
    def measures(self) -> tuple[str, ...]:
        """The accuracy of the final model."""
        return (TEST_ACCURACY,)

    @classmethod
    def check(cls, settings: Settings) -> None:
        """Refuse a model or an option that the function would refuse."""
        try:
            models.check(settings.model, settings.options)
        except ValueError as error:
            key = "function.options" if settings.model in models.NAMES else "function.model"
            raise SettingsError(f"{key}: {error}") from error

    def splits(self, cut: Cut) -> Splits:
        """Split as the base station and the function do; refuse a share that the function would refuse."""
        # scikit-learn, which takes seconds to import, and which the driver does not need.
        from app.text.dataset import split  # noqa: PLC0415

        if not any(self._has_words):
            empty = sum(not text.strip() for text in self.data.x)
            raise DataError(
                f"no text has a word to learn from: {empty} are empty, {len(self.data.x) - empty} have stop words and "
                "single letters only; give texts with other words"
            )
        if not cut.test:
            raise DataError("no text is left to test the final model with; set a larger data.test_share")
        options = msgspec.convert({**self.settings.options, "model": self.settings.model}, models.Options)
        function = []
        for number, rows in enumerate(cut.training, 1):
            try:
                train, test = split([self.data.y[row] for row in rows], options)
            except ValueError as error:
                raise DataError(f"request {number} of {len(cut.training)}: {error}") from error
            training = tuple(rows[place] for place in train)
            if not any(self._has_words[row] for row in training):
                raise DataError(
                    f"request {number} of {len(cut.training)}: no training text has a word to learn from, only stop "
                    "words and single letters"
                )
            function.append(Split(training, tuple(rows[place] for place in test)))
        return Splits(Split(tuple(row for rows in cut.training for row in rows), cut.test), tuple(function))

    @cached_property
    def _has_words(self) -> list[bool]:
        from app.text.words import has_words  # noqa: PLC0415 - scikit-learn again

        return [has_words(text) for text in self.data.x]

    def open(self, shared: Shared) -> None:
        """Start the trainer, one for all scenarios."""
        self._trainer = shared.once(Trainer)

    def body(
        self, rows: Sequence[int], kind: str | None = None, body_bytes: int | None = None, draw: Draw = FIRST
    ) -> bytes:
        """Return the study's form of a request: texts and labels by their position, the model, the options."""
        del kind, body_bytes, draw
        return self._body(rows, self.settings.options)

    def probe(self) -> bytes:
        """Return a request that takes a moment: some texts of each label, and never the slow engine."""
        by_label: dict[str, list[int]] = {}
        for row, label in enumerate(self.data.y):
            by_label.setdefault(label, []).append(row)
        each = PROBE_TEXTS // len(by_label)
        options = self.settings.options
        if "engine" in options:
            options = {**options, "engine": "fast"}
        return self._body([row for rows in by_label.values() for row in rows[:each]], options)

    def reply(self, body: bytes) -> Reply:
        """Read parameters and accuracies."""
        try:
            reply = msgspec.json.decode(body, type=Trained)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if "at `$" in str(error):  # it has what the function replies, with a value of another kind
                raise ReplyError(f"unexpected reply: {str(error).replace('`', '')}") from error
            raise ReplyError("unexpected reply (no best parameters): did another service answer?") from error
        return Reply(
            replica=reply.replica,
            node=reply.node,
            parameters=reply.parameters,
            accuracy_validation=reply.accuracy_validation,
            accuracy_function=reply.accuracy_function,
        )

    def finish(self, cut: Cut, requests: Sequence[RequestRecord], seed: int) -> Outcome:
        """Train with the parameters of the best validation accuracy on all training texts, and score the test texts."""
        chosen = self.best(requests)
        answer = self._trainer.train(
            {
                "train": [row for rows in cut.training for row in rows],
                "test": list(cut.test),
                "model": self.settings.model,
                "parameters": chosen.parameters,
                "seed": seed % 2**32,
            }
        )
        error = answer.get("error")
        return Outcome(
            chosen=chosen if error is None else None,
            parameters=chosen.parameters,
            accuracy_test=answer.get("accuracy (test)"),
            fit_ms=answer.get("fit_ms"),
            error=error,
        )

    def _body(self, rows: Sequence[int], options: dict[str, Any]) -> bytes:
        # As UTF-8: escaped, Cyrillic would be 2.8 times as large.
        return json.dumps(
            {
                "x_dict": {str(position): self.data.x[row] for position, row in enumerate(rows)},
                "y_dict": {str(position): self.data.y[row] for position, row in enumerate(rows)},
                "model": self.settings.model,
                **options,
            },
            separators=(",", ":"),
            ensure_ascii=False,
        ).encode()
