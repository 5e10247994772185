"""Scenario files, `netem_links` and the role's argument_specs know the same values of a link, with the same ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.netem.link import Link, LinkError
from ansible.module_utils.netem.properties import PROPERTIES, values
from ansible.module_utils.netem.property import Range, declared
from pydantic import ValidationError

from experiments.spec import LinkSpec

SPECS = Path(__file__).resolve().parents[3] / "roles" / "netem" / "meta" / "argument_specs.yml"
TYPES = {float: "float", int: "int", bool: "bool", str: "str"}
SMALLEST = 1e-6
VALUES = {name: one for kind in PROPERTIES for name, one in declared(kind).items()}


def options() -> dict[str, Any]:
    """The keys of an entry of `netem_links` in argument_specs.yml, without the ends."""
    specs = yaml.safe_load(SPECS.read_text("utf-8"))["argument_specs"]["main"]["options"]["netem_links"]["options"]
    return {name: spec for name, spec in specs.items() if name not in ("source", "target")}


def described(ranges: dict[str, tuple[Range, Any]]) -> dict[str, Any]:
    """What argument_specs.yml has to say of such values."""
    specs: dict[str, Any] = {}
    for name, (range_, default) in ranges.items():
        spec: dict[str, Any] = {"type": TYPES.get(range_.kind, "dict"), "description": range_.about}
        if default is ...:
            spec["required"] = True
        if range_.choices:
            spec["choices"] = list(range_.choices)
        if range_.kind not in TYPES:
            spec["options"] = described(declared(range_.kind))
        specs[name] = spec
    return specs


def test_argument_specs_have_every_value_of_a_link_with_its_type_its_choices_and_its_description():
    assert options() == described(VALUES)


def test_a_scenario_has_every_value_of_a_link_with_its_default():
    fields = {name: field for name, field in LinkSpec.model_fields.items() if name != "between"}
    assert list(fields) == list(VALUES)
    assert {name: field.default for name, field in fields.items() if not field.is_required()} == {
        name: default for name, (_, default) in VALUES.items() if default is not ...
    }


def refused_by_role(**given: Any) -> bool:
    try:
        Link.between("a", "b", **given)
    except LinkError:
        return True
    return False


def refused_by_scenario(**given: Any) -> bool:
    try:
        LinkSpec.model_validate(given)
    except ValidationError:
        return True
    return False


def edges(range_: Range) -> list[Any]:
    """Values at the edges of a range, inside and outside."""
    limits = [one for one in (range_.at_least, range_.at_most, range_.above, range_.below) if one is not None]
    step = 1 if range_.kind is int else SMALLEST
    return [*range_.choices, *(limit + off for limit in limits for off in (-step, 0, step)), "nothing of the kind"]


@pytest.mark.parametrize("name", values())
def test_a_value_is_refused_in_a_scenario_where_the_role_refuses_it(name: str):
    given = {"delay_ms": 1.0, "loss_percent": 1.0 if name == "loss_correlation_percent" else 0.0}
    verdicts = {
        value: (refused_by_role(**{**given, name: value}), refused_by_scenario(**{**given, name: value}))
        for value in edges(values()[name])
    }
    assert all(role == scenario for role, scenario in verdicts.values()), verdicts
    assert any(role for role, _ in verdicts.values())


@pytest.mark.parametrize(
    "given",
    [
        {"jitter_ms": 0.3},
        {"jitter_ms": 1.6, "distribution": "pareto"},
        {"loss_percent": 1, "gilbert_elliott": {"enter_percent": 1, "leave_percent": 5}},
        {"loss_correlation_percent": 5},
        {"gilbert_elliott": {"enter_percent": 1}},
        {"gilbert_elliott": {"enter_percent": 1, "leave_percent": 0}},
        {"gilbert_elliott": {"p": 1}},
        {"jiter_ms": 1},
    ],
)
def test_values_that_do_not_fit_each_other_are_refused_by_both(given: dict[str, Any]):
    assert refused_by_role(delay_ms=1.0, **given)
    assert refused_by_scenario(delay_ms=1.0, **given)


def test_a_link_of_a_scenario_is_an_entry_that_the_role_reads():
    spec = LinkSpec.model_validate(
        {"delay_ms": 5, "gilbert_elliott": {"enter_percent": 1, "leave_percent": 9}, "seed": None}
    )
    assert Link.between("a", "b", **spec.values()) == Link.between(
        "a", "b", delay_ms=5.0, gilbert_elliott={"enter_percent": 1, "leave_percent": 9}
    )
