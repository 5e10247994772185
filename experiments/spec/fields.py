"""What every part of a scenario is made of: frozen models and the types that several of them share."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

if TYPE_CHECKING:
    from collections.abc import Sequence

# Beyond these neither the plan nor the base station bears it: a thousand connections, a run of months.
MOST_REQUESTS, MOST_REPETITIONS, MOST_SECONDS = 1_000, 10_000, 86_400
Share = Annotated[float, Field(gt=0, lt=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
# A part of host names, of file names and of a run's id.
NAME_LETTERS = 32
NAME = rf"^[a-z0-9]([a-z0-9-]{{0,{NAME_LETTERS - 2}}}[a-z0-9])?$"
Name = Annotated[str, Field(pattern=NAME)]


def nearest(name: str, known: Sequence[str]) -> str:
    """Return what to write in the place of an unknown name: the one that is most like it, or one of all."""
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"


class Model(BaseModel):
    """Frozen; an unknown key is an error, and so is a non-finite number, or `yes` for one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        kinds = {annotation, *get_args(annotation)}
        if isinstance(value, bool) and kinds & {int, float} and bool not in kinds:
            raise ValueError(f"{str(value).lower()} is not a number; YAML takes yes, no, on and off for true and false")
        return value
