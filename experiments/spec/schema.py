"""The JSON Schema of scenario files, for editors and other programs, and which keys there are at a place of one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from experiments.spec.experiment import Experiment, Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

# Keys that stand beside those of a scenario where a file holds only one.
OF_EXPERIMENT = ("repetitions", "warmups", "block_repetitions", "deduplicate", "expect", "sweep")
# What a file may leave out though the model that is made of it has it.
DERIVED = ("data",)


def schema() -> dict[str, Any]:
    """Return the schema of a file: one scenario with its repetitions, or a list of scenarios."""
    experiment, definitions = _parts(Experiment)
    scenario, _ = _parts(Scenario)
    required = [key for key in scenario["required"] if key not in DERIVED]
    of_experiment = {key: experiment["properties"][key] for key in OF_EXPERIMENT}
    workload = scenario["properties"]["workload"]
    keys = {
        **scenario["properties"],
        "data": {"$ref": scenario["properties"]["data"]["$ref"]},
        "workload": {"anyOf": [{"type": "string"}, {key: workload[key] for key in ("$ref",) if key in workload}]},
    }
    changed = {
        "type": "object",
        "properties": {"extends": {"type": "string"}, **{key: {} for key in keys}},
        "required": ["extends"],
        "additionalProperties": False,
    }
    alone = {
        "type": "object",
        "properties": {**keys, **of_experiment},
        "required": [*required, "repetitions"],
        "additionalProperties": False,
    }
    several = {
        "type": "object",
        "properties": {
            "name": experiment["properties"]["name"],
            "scenarios": {
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [{"type": "string"}, changed]},
                "description": experiment["properties"]["scenarios"]["description"],
            },
            **of_experiment,
        },
        "required": ["scenarios", "repetitions"],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A scenario file of faasbed",
        "anyOf": [alone, several],
        "$defs": {name: one for name, one in definitions.items() if name != "Scenario"},
    }


def keys_of_scenario(place: Sequence[int | str]) -> list[str]:
    """Return the keys that a mapping at a place of a scenario can have; none where there is no mapping."""
    return keys_at(Scenario, place)


def is_open(place: Sequence[int | str]) -> bool:
    """Return whether a mapping at a place of a scenario takes keys that the schema does not name."""
    own, definitions = _parts(Scenario)
    for step in place:
        if _takes_any(own, definitions) and step not in _resolved(own, definitions).get("properties", {}):
            return True
        own = _below(own, step, definitions)
    return _takes_any(own, definitions)


def keys_at(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """Return the keys that a mapping at a place of a model's data can have."""
    own, definitions = _parts(model)
    for step in place:
        own = _below(own, step, definitions)
    return list(_resolved(own, definitions).get("properties", {}))


@cache
def _parts(model: type[BaseModel]) -> tuple[dict[str, Any], dict[str, Any]]:
    whole = model.model_json_schema()
    return whole, whole.pop("$defs", {})


def _below(schema_: dict[str, Any], step: int | str, definitions: dict[str, Any]) -> dict[str, Any]:
    own = _resolved(schema_, definitions)
    below: dict[str, Any] = own.get("items", {}) if isinstance(step, int) else own.get("properties", {}).get(step, {})
    return below


def _takes_any(schema_: dict[str, Any], definitions: dict[str, Any]) -> bool:
    own = _resolved(schema_, definitions)
    return bool(own.get("type") == "object" and own.get("additionalProperties", False))


def _resolved(schema_: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a schema, of several the mapping among them."""
    if "$ref" in schema_:
        return _resolved(definitions[str(schema_["$ref"]).rpartition("/")[2]], definitions)
    for part in schema_.get("anyOf", ()):
        if part.get("type") != "null":
            return _resolved(part, definitions)
    return schema_
