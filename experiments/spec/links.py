"""The links of a scenario: one-way paths between groups of nodes, with the values that ``roles/netem`` knows."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model, field_validator, model_validator

from experiments.spec import role_links
from experiments.spec.fields import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ansible.module_utils.netem.property import Range


class _Values(Model):
    """Values whose ranges the role declares; one that is null counts as left out."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        return {key: one for key, one in values.items() if one is not None} if isinstance(values, dict) else values


class Pairs(_Values):
    """Ordered pairs of nodes of a scenario."""

    between: Literal["all"] | tuple[str, str] = Field(
        default="all",
        description="`all` nodes of the scenario, or two groups such as `[base_stations, edge]`; both directions.",
    )

    @field_validator("between", mode="before")
    @classmethod
    def _all_or_two_groups(cls, value: object) -> object:
        pair = isinstance(value, list | tuple) and [type(group) for group in value] == [str, str]
        if value != "all" and not pair:
            raise ValueError(f"{value!r} is neither all nor two groups, such as [base_stations, edge]")
        return value

    def of(self, members: Sequence[str], hosts: Callable[[str], Collection[str]]) -> list[tuple[str, str]]:
        """Return those that are among the members; ``hosts`` returns a group's nodes."""
        if self.between == "all":
            return list(permutations(members, 2))
        first, second = ([host for host in members if host in hosts(group)] for group in self.between)
        both = [(one, other) for one in first for other in second if one != other]
        return list(dict.fromkeys([*both, *((other, one) for one, other in both)]))


class _Between(Pairs):
    """A one-way path between every ordered pair of nodes of two groups, as roles/netem's ``netem_links`` has it."""

    @model_validator(mode="after")
    def _values_fit_each_other(self) -> _Between:
        if reason := role_links.refusal(self.values()):
            raise ValueError(reason)
        return self

    def values(self) -> dict[str, Any]:
        """Return the values of a link between two of the nodes, as an entry of ``netem_links`` has them."""
        return self.model_dump(exclude={"between"}, exclude_none=True)


def _field(name: str, range_: Range, default: Any) -> Any:
    """Return type and field, as `create_model` takes them, of a value with this range."""
    kind: Any = range_.kind
    if range_.choices:
        kind = Literal[range_.choices]
    elif kind not in (int, float, bool, str):
        nested = {part: _field(part, *declared) for part, declared in role_links.parts(range_).items()}
        kind = create_model(name, __base__=_Values, **nested)
    limits = {"ge": range_.at_least, "le": range_.at_most, "gt": range_.above, "lt": range_.below}
    set_limits: Any = {word: limit for word, limit in limits.items() if limit is not None}
    return kind | None if range_.optional else kind, Field(default=default, description=range_.about, **set_limits)


def optional(name: str, range_: Range) -> Any:
    """Return type and field of a value with this range that may be left out."""
    kind, field = _field(name, range_, None)
    return kind | None, field


if TYPE_CHECKING:

    class LinkSpec(_Between):
        """A link of a scenario; its values are those that the role declares."""

        def __getattr__(self, name: str) -> Any:
            """Return the value of this name."""

else:
    LinkSpec = create_model(
        "LinkSpec",
        __base__=_Between,
        __doc__=_Between.__doc__,
        **{name: _field(name, *declared) for name, declared in role_links.declared().items()},
    )
