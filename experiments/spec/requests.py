"""The requests of a scenario, and the TCP that carries them."""

from __future__ import annotations

from pydantic import Field

from experiments.base_station.transport import Connections, Encoding, Protocol
from experiments.spec.fields import MOST_REQUESTS, MOST_SECONDS, Model


class RequestSpec(Model):
    """The requests of a repetition: sent together, each with its share of the data, unless traffic says otherwise."""

    parallel: int | None = Field(
        ge=1,
        le=MOST_REQUESTS,
        default=None,
        description="Requests of a repetition, sent at the same moment; needed, unless traffic sets other arrivals.",
    )
    idle_s: float = Field(
        ge=0, le=MOST_SECONDS, default=0, description="Seconds without a request before each repetition."
    )
    timeout_s: float | None = Field(
        gt=0,
        le=MOST_SECONDS,
        default=None,
        description="Seconds after which an unanswered request is an error and its repetition fails; unless set, three "
        "times what the longest warm-up took, 60 at least and 600 at most, and 600 for warm-ups.",
    )


class TransportSpec(Model):
    """What carries the requests: TCP on both ends of each connection, set per socket and checked, and HTTP on it."""

    congestion_control: str = Field(
        default="cubic",
        pattern=r"^[a-z0-9_-]{2,15}$",
        description="A congestion control that the nodes' kernels have: cubic, reno, bbr …",
    )
    connections: Connections = Field(
        default="new",
        description="`new`: each request has a connection of its own. `kept`: connections are used again, also by "
        "later repetitions, while they are not idle for longer than 100 s.",
    )
    protocol: Protocol = Field(
        default="http/1.1",
        description="`http/1.1`, or `http/2` by prior knowledge, without TLS; one request at a time on a connection.",
    )
    encoding: Encoding = Field(
        default="plain",
        description="How bodies are sent: as they are, or packed beforehand by `gzip` or `zstd` (Content-Encoding).",
    )
