"""What a request may say beside its texts: the model, and options that change the study's policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, get_args

import msgspec

from app.errors import InputError
from app.models.registry import MODELS, NAMES, Name

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = bool | int | float | str | list[int] | None
Values = Annotated[list[Value], msgspec.Meta(min_length=1, max_length=100)]
Engine = Literal["fast", "plain"]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]

PEER_SPLIT_SEED = 6
PEER_FOLDS_SEED = 1
MODEL_SEED = 1


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to search; ``Request`` says which defaults and which seeds."""

    model: Name = "pac"
    folds: Annotated[int, msgspec.Meta(ge=2, le=100)] = 2
    repeats: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    grid: Annotated[dict[str, Values], msgspec.Meta(min_length=1, max_length=16)] | None = None
    seed: Seed | None = None
    test_size: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.2
    engine: Engine = "fast"

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


def check(model: str, options: Mapping[str, object]) -> None:
    """Refuse what the function would refuse of a request whatever its texts are: to be asked before a run is begun.

    Raises:
        InputError: an unknown model, an unknown option, or a value that an option or the model's grid does not take.
    """
    if model not in NAMES:
        raise InputError(f"unknown model {model!r:.60}: expected one of {', '.join(NAMES)}")
    known = [name for name in Options.__struct_fields__ if name != "model"]
    for name in options:
        if name not in known:
            raise InputError(f"unknown option {name!r:.60} of the model {model}: expected one of {', '.join(known)}")
    try:
        checked = msgspec.convert({**options, "model": model}, Options)
    except msgspec.ValidationError as error:
        raise InputError(f"invalid option of the model {model}: {_reason(error)}") from None
    if checked.grid is not None:
        MODELS[model].read_grid(checked.grid)


def _reason(error: msgspec.ValidationError) -> str:
    """The option and what is wrong with it, from msgspec's "what is wrong - at `$.option`"."""
    wrong, _, place = str(error).partition(" - at ")
    if wrong.startswith("Invalid enum value"):
        wrong += f", expected one of {', '.join(get_args(Engine))}"
    return f"{place.replace('$.', '').replace('`', '')}: {wrong[0].lower()}{wrong[1:]}"
