"""What changes while a scenario is measured: links that get other values, nodes that leave and join, load on nodes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model, model_validator

from experiments.spec import role_links
from experiments.spec.fields import MOST_REPETITIONS, MOST_REQUESTS, MOST_SECONDS, Model
from experiments.spec.links import Pairs, optional

if TYPE_CHECKING:
    from collections.abc import Sequence

# A node needs a moment for each change of its links.
LEAST_APART_S = 0.2
MOST_EVENTS = 1_000
# Beyond these a node does nothing else.
MOST_PROCESSES = 64
# What a process of Python sends.
MOST_MBIT_PER_S = 500


class _Change(Pairs):
    """Other values for links of the scenario; what is not named is as in `links`, so no values are those of `links`."""

    down: bool = Field(default=False, description="Whether the links carry nothing: every frame is lost.")

    @model_validator(mode="after")
    def _down_has_no_values(self) -> _Change:
        if self.down and (values := self._own()):
            raise ValueError(f"down: a link that is down has no {next(iter(values))}: take away one of them")
        return self

    def _own(self) -> dict[str, Any]:
        return self.model_dump(exclude={"between", "down"}, exclude_none=True)

    def changed(self, first: dict[str, Any]) -> dict[str, Any]:
        """Return the values of a link that has these in `links`.

        Raises:
            ValueError: no link can have them together.
        """
        own = {"loss_percent": 100.0} if self.down else self._own()
        # A loss of another kind takes the place of the one that the link had.
        replaced = role_links.loss() if role_links.loss() & set(own) else set()
        kept = {key: one for key, one in first.items() if key not in replaced}
        if reason := role_links.refusal(values := {**kept, **own}):
            raise ValueError(reason)
        return values


if TYPE_CHECKING:

    class LinkChangeSpec(_Change):
        """Links of the scenario and their new values, which are those that the role declares."""

else:
    LinkChangeSpec = create_model(
        "LinkChangeSpec",
        __base__=_Change,
        __doc__=_Change.__doc__,
        **{name: optional(name, range_) for name, (range_, _) in role_links.declared().items() if name != "seed"},
    )


class NodesChangeSpec(Model):
    """How many of a group's nodes are away; the last ones that run replicas leave first, a gateway never does."""

    group: str = Field(description="A group of the inventory.")
    away: int = Field(
        ge=0, le=MOST_REQUESTS, default=0, description="How many of its nodes are away from here on; 0: all are back."
    )
    how: Literal["drained", "cut"] = Field(
        default="drained",
        description="`drained`: their replicas end with what they were asked, and requests go to others. `cut`: every "
        "frame from and to them is lost, as without power.",
    )


class LoadSpec(Model):
    """What computes on nodes beside their replicas."""

    group: str = Field(description="A group of the inventory.")
    processes: int = Field(
        ge=0,
        le=MOST_PROCESSES,
        default=0,
        description="Processes on each of its nodes that only compute, on the node's own cores, from here on; 0: none.",
    )


class BackgroundSpec(Pairs):
    """What is sent over links beside the requests: datagrams that nobody answers."""

    mbit_per_s: float = Field(
        ge=0, le=MOST_MBIT_PER_S, default=0, description="Mbit/s of IP packets over each of them from here on; 0: none."
    )


class EventSpec(Model):
    """Something that changes at a time of each repetition, or before one and for all that follow."""

    at_s: float | None = Field(
        ge=0,
        le=MOST_SECONDS,
        default=None,
        description="Seconds after each repetition begins, warm-ups too; at its end all is as before.",
    )
    before_repetition: int | None = Field(
        ge=1,
        le=MOST_REPETITIONS,
        default=None,
        description="The repetition, counted from 1, before which it changes, for all that follow; in place of at_s.",
    )
    file: str | None = Field(
        default=None,
        description="In place of a time: a recorded link, CSV with the columns at_s and values of links; from the "
        "scenario's folder. Each line is an event for `links`, which have no values then.",
    )
    links: tuple[LinkChangeSpec, ...] = Field(default=(), description="The links that change, and how.")
    nodes: tuple[NodesChangeSpec, ...] = Field(default=(), description="The nodes that leave, or join again.")
    load: tuple[LoadSpec, ...] = Field(default=(), description="What computes on nodes beside their replicas.")
    background: tuple[BackgroundSpec, ...] = Field(
        default=(), description="What is sent over links beside the requests."
    )

    @model_validator(mode="after")
    def _one_time(self) -> EventSpec:
        if self.file is not None:
            raise ValueError("file: read in with the file of a scenario, so only there it can be named")
        if (self.at_s is None) == (self.before_repetition is None):
            raise ValueError(
                "at_s or before_repetition is needed, and only one of them: it says when something changes"
            )
        if not (self.links or self.nodes or self.load or self.background):
            raise ValueError("links, nodes, load or background: expected at least one entry of one of them")
        for key, entries in (("nodes", self.nodes), ("load", self.load)):
            groups = [entry.group for entry in entries]
            twice = next((group for group in groups if groups.count(group) > 1), None)
            if twice is not None:
                raise ValueError(f"{key}: {twice} is named by two entries; keep one of them")
        return self


def check_apart(events: Sequence[EventSpec]) -> None:
    """Refuse events at one time, or so close together that a node could not carry out both.

    Raises:
        ValueError: two events overlap.
    """
    timed = sorted(event.at_s for event in events if event.at_s is not None)
    for one_s, other_s in pairwise(timed):
        if other_s - one_s < LEAST_APART_S:
            raise ValueError(
                f"events: at_s {one_s:g} and {other_s:g} overlap, {LEAST_APART_S:g} s apart are needed: name what "
                "changes together in one event"
            )
    before = sorted(event.before_repetition for event in events if event.before_repetition is not None)
    twice = next((one for one, other in pairwise(before) if one == other), None)
    if twice is not None:
        raise ValueError(f"events: two have before_repetition {twice}: name what changes together in one event")
