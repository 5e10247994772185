"""The traffic of a scenario: when the requests of a repetition are sent."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from pydantic import Field, model_validator

from experiments.base_station import arrivals as ways
from experiments.spec.fields import MOST_REQUESTS, MOST_SECONDS, Model

# Beyond these no driver sends in time; benchmarks/driver.py has what one core does.
MOST_RATE_PER_S = 1_000


class TrafficSpec(Model):
    """When the requests of a repetition are sent: together, or as they arrive by a process of their own."""

    arrivals: Literal["together", "closed", "constant", "poisson", "trace"] = Field(
        default="together",
        description="`together`: requests.parallel at the same moment. `closed`: clients that wait for the reply and "
        "think. `constant` and `poisson`: at a rate, whatever the replies. `trace`: at recorded times.",
    )
    rate_per_s: float | None = Field(
        gt=0, le=MOST_RATE_PER_S, default=None, description="Requests per second on average (constant, poisson)."
    )
    clients: int | None = Field(
        ge=1, le=MOST_REQUESTS, default=None, description="How many clients there are (closed)."
    )
    think_s: float | None = Field(
        ge=0, le=MOST_SECONDS, default=None, description="Seconds from a reply to that client's next request (closed)."
    )
    count: int | None = Field(
        ge=1, le=ways.MOST_REQUESTS, default=None, description="Requests of a repetition; or duration_s."
    )
    duration_s: float | None = Field(
        gt=0, le=MOST_SECONDS, default=None, description="Seconds in which a repetition's requests begin; or count."
    )
    file: str | None = Field(
        default=None,
        description="A trace: CSV with the columns offset_s and, if wanted, kind and bytes (trace); from the "
        "scenario's folder.",
    )
    trace: str | None = Field(default=None, description="The same, as text in the scenario file.")
    max_late_ms: float = Field(
        gt=0,
        le=1000 * MOST_SECONDS,
        default=10,
        description="A repetition fails where the 99th percentile of how late its requests were sent is above; not "
        "used where requests go together.",
    )

    @model_validator(mode="after")
    def _keys_of_these_arrivals(self) -> TrafficSpec:
        kind = ways.KINDS[self.arrivals]
        fields = {field.name: field.required for field in msgspec.structs.fields(kind) if field.name != "parallel"}
        given = self._given()
        unknown = next((key for key in given if key not in fields), None)
        if unknown is not None:
            own = ", ".join(fields) or "none"
            raise ValueError(f"{unknown}: not a key of arrivals {self.arrivals}, which has: {own}")
        missing = next((key for key, required in fields.items() if required and key not in given), None)
        if missing is not None:
            named = "file: needed" if missing == "trace" else f"{missing}: needed"
            raise ValueError(f"{named} with arrivals {self.arrivals}")
        if self.arrivals != "together":
            self.planned(1)
        if self.trace is not None:
            ways.read_trace(self.trace)
        if self.rate_per_s and self.duration_s and self.rate_per_s * self.duration_s > ways.MOST_REQUESTS:
            raise ValueError(
                f"{self.rate_per_s:g} requests per second for {self.duration_s:g} s are more than the "
                f"{ways.MOST_REQUESTS} that a repetition can have: measure shorter repetitions, and more of them"
            )
        return self

    def planned(self, parallel: int) -> ways.Arrivals:
        """Return the arrivals as the plan has them."""
        own = {"parallel": parallel} if self.arrivals == "together" else self._given()
        try:
            planned: ways.Arrivals = msgspec.convert({"arrivals": self.arrivals, **own}, ways.Arrivals)
        except msgspec.ValidationError as error:
            raise ValueError(str(error).partition(" - at `")[0]) from error
        return planned

    def _given(self) -> dict[str, Any]:
        return self.model_dump(exclude={"arrivals", "file", "max_late_ms"}, exclude_none=True)
