"""The requests of a scenario, and the TCP that carries them."""

from __future__ import annotations

from pydantic import Field

from experiments.spec.fields import Model


class RequestSpec(Model):
    """A repetition's requests, sent together; one training set each. Before it, nobody asks for ``idle_s``."""

    parallel: int = Field(ge=1)
    idle_s: float = Field(ge=0, default=0)
    timeout_s: float = Field(gt=0, default=600)


class TransportSpec(Model):
    """TCP on both ends of every connection of the experiment, set per socket and checked on the live one."""

    congestion_control: str = Field(default="cubic", pattern=r"^[a-z0-9_-]{2,15}$")
