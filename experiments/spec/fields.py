"""What every part of a scenario is made of: frozen models and the types that several of them share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, lt=1)]
Percent = Annotated[float, Field(ge=0, le=100)]
# A part of host names, of file names and of a run's id.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]


class Model(BaseModel):
    """Frozen; an unknown key is an error, and so is a non-finite number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
