"""Writes the tables of keys into ``docs/scenarios.md``, from the models that read scenario files.

``python -m docs.scenarios`` writes the tables and the JSON Schema; with ``--check`` it writes nothing and returns 1 if
they are outdated.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from docs import marks
from experiments.spec import Experiment
from experiments.spec import schema as json_schema
from experiments.workloads import WORKLOADS

SCHEMA = Path(__file__).resolve().parents[1] / "experiments" / "scenario.schema.json"
PAGE = Path(__file__).with_suffix(".md")
NAME = "keys"
HEAD = "| key | value | default | meaning |\n| --- | --- | --- | --- |"
# From here on a limit only says that a number fits into so many bits.
LARGEST_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class Section:
    """The table of one model: its heading is the path of keys under which it stands in a file."""

    heading: str
    model: dict[str, Any]

    @property
    def anchor(self) -> str:
        """The heading as a link within the page."""
        return "#" + re.sub(r"[^a-z0-9 _-]", "", self.heading.lower()).replace(" ", "-")


def keys() -> str:
    """Return a section with a table for each part of a scenario file, and one for each workload's settings.

    Raises:
        ValueError: a key has no description.
    """
    schema = Experiment.model_json_schema()
    models: dict[str, Any] = schema["$defs"]
    sections = {"Experiment": Section("An experiment", schema), "Scenario": Section("A scenario", models["Scenario"])}
    _walk(models["Scenario"], "", models, sections)
    _walk(schema, "", models, sections)
    tables = [f"## {section.heading}\n\n{_table(section.model, sections)}" for section in sections.values()]
    return "\n\n".join([*tables, *(_workload(name) for name in WORKLOADS)])


def _walk(model: dict[str, Any], path: str, models: dict[str, Any], sections: dict[str, Section]) -> None:
    """Add a section for each model below one, under the first key that leads to it."""
    for key, schema in model["properties"].items():
        for name in re.findall(r"#/\$defs/(\w+)", json.dumps(schema)):
            if name not in sections:
                heading = f"{path}{key}"
                sections[name] = Section(heading, models[name])
                _walk(models[name], f"{heading}: ", models, sections)


def _table(model: dict[str, Any], sections: dict[str, Section]) -> str:
    rows = [HEAD]
    for key, schema in model["properties"].items():
        below = sections[_name(schema)].model if "$ref" in schema else {}
        description = schema.get("description") or str(below.get("description", "")).split("\n\n", 1)[0]
        if not description:
            raise ValueError(f"{model['title']}.{key} has no description")
        default = _default(schema["default"]) if "default" in schema else "(required)"
        rows.append(f"| `{key}` | {_kind(schema, sections)} | {default} | {_cell(description)} |")
    return "\n".join(rows)


def _workload(name: str) -> str:
    """Return a workload's section: what it does, and its own settings."""
    workload = WORKLOADS[name]
    fields = msgspec.structs.fields(workload.settings_type)
    settings = ", ".join(f"`{field.encode_name}`" for field in fields)
    own = " ".join((workload.settings_type.__doc__ or "").split()).replace("``", "`")
    does = " ".join((workload.__doc__ or "").split())
    return f"## workload: {name}\n\n{does}\n\nSettings: {settings}. {own}"


def _kind(schema: dict[str, Any], sections: dict[str, Section]) -> str:
    """Return what a key's value is, in words: ``number, 0 to 100``."""
    match schema:
        case {"anyOf": parts}:
            return " or ".join(_kind(part, sections) for part in parts if part.get("type") != "null")
        case {"$ref": _}:
            section = sections[_name(schema)]
            return f"[{section.heading}]({section.anchor})"
        case {"prefixItems": items}:
            return f"list of {len(items)} names"
        case {"type": "array", "items": items}:
            return f"list of {_kind(items, sections)}"
        case {"type": "object", "additionalProperties": {"$ref": _} as values}:
            return f"mapping of names to {_kind(values, sections)}"
    return _scalar(schema)


def _scalar(schema: dict[str, Any]) -> str:
    if values := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return ", ".join(f"`{value}`" for value in values)
    if "pattern" in schema:
        return "name"
    kind = {"string": "text", "boolean": "`true` or `false`", "object": "mapping"}.get(schema["type"], schema["type"])
    limits = _limits(schema)
    return f"{kind}, {limits}" if limits else str(kind)


def _limits(schema: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = {name: schema[name] for name in signs if schema.get(name, LARGEST_LIMIT) < LARGEST_LIMIT}
    if limits.keys() == {"minimum", "maximum"}:
        return f"{limits['minimum']:g} to {limits['maximum']:,g}"
    return " and ".join(f"{signs[name]} {limit:,g}" for name, limit in limits.items())


def _default(default: Any) -> str:
    match default:
        case None:
            return ""
        case bool():
            return f"`{str(default).lower()}`"
        case dict():
            return ", ".join(f"`{key}: {value}`" for key, value in default.items() if value not in (None, {}))
    return f"`{default}`" if " " not in str(default) else str(default)


def _name(schema: dict[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Write the tables, or check them; return 1 where they are outdated."""
    check = "--check" in arguments
    outdated = marks.update(PAGE, NAME, keys(), "python -m docs.scenarios", check=check)
    content = json.dumps(json_schema.schema(), indent=1, ensure_ascii=False) + "\n"
    if not check:
        SCHEMA.write_text(content, encoding="utf-8")
    elif SCHEMA.read_text("utf-8") != content:
        print(f"{SCHEMA} is outdated: run python -m docs.scenarios", file=sys.stderr)
        outdated = 1
    return outdated


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
