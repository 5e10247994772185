"""Writes each role's table of variables into its README, from the role's argument specs and defaults.

``python -m docs.variables`` writes the tables; with ``--check`` it writes nothing, names what is not up to date and
returns 1.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from docs import marks

ROOT = Path(__file__).resolve().parent.parent
MARKS = "variables"
LONGEST_DEFAULT = 60


def table(specs: dict[str, dict[str, Any]], defaults: dict[str, Any]) -> str:
    """Return a Markdown table with a row for each variable.

    Args:
        specs: the options of ``meta/argument_specs.yml``.
        defaults: ``defaults/main.yml``; an expression is shown as it stands there, a long one is called computed.
    """
    rows = ["| variable | type | default | description |", "| --- | --- | --- | --- |"]
    for name, spec in specs.items():
        kind = spec["type"] + (f" of {spec['elements']}" if "elements" in spec else "")
        choices = f" One of {', '.join(f'`{choice}`' for choice in spec['choices'])}." if "choices" in spec else ""
        default = "(required)" if spec.get("required") else shown(defaults.get(name, spec.get("default")))
        rows.append(f"| `{name}` | {kind} | {default} | {prose(spec['description'])}{choices} |")
    return "\n".join(rows)


def shown(default: Any) -> str:
    """Return a default as a cell of the table."""
    if default is None:
        return ""
    if default == "":
        return "(empty)"
    text = default if isinstance(default, str) else yaml.safe_dump(default, default_flow_style=True, width=1000)
    text = " ".join(text.removesuffix("...\n").split())
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT and "|" not in text else "(computed)"


def prose(description: str | list[str]) -> str:
    """Return a description as a cell of the table; ``C(...)`` is Ansible's mark for code."""
    sentences = [description] if isinstance(description, str) else description
    return re.sub(r"C\(([^)]*)\)", r"`\1`", " ".join(" ".join(sentences).split())).replace("|", "\\|")


def problems(role: Path, *, write: bool = False) -> list[str]:
    """Return a sentence for each thing that is not up to date in a role; with `write`, write its table first."""
    path = role / "meta" / "argument_specs.yml"
    if not path.exists():
        return []
    specs = yaml.safe_load(path.read_text("utf-8"))["argument_specs"]["main"]["options"]
    file = role / "defaults" / "main.yml"
    defaults = (yaml.safe_load(file.read_text("utf-8")) if file.exists() else None) or {}
    sentences = [f"{path}: {name} of {file} is missing" for name in defaults.keys() - specs.keys()]
    for name, spec in specs.items():
        if "default" in spec and name in defaults and not agree(spec["default"], defaults[name]):
            sentences.append(f"{path}: {name} has the default {spec['default']!r}, expected {defaults[name]!r}")
        if name not in defaults and not spec.get("required"):
            sentences.append(f"{file}: {name} of {path} is missing")
    readme = role / "README.md"
    text = readme.read_text("utf-8")
    try:
        expected = marks.replaced(text, MARKS, table(specs, defaults))
    except ValueError as error:
        return [*sentences, f"{readme}: {error}"]
    if text != expected and write:
        readme.write_text(expected, "utf-8")
    elif text != expected:
        sentences.append(f"{readme}: the table of variables is not up to date: run python -m docs.variables")
    return sentences


def agree(documented: Any, default: Any) -> bool:
    """Return whether a default in the specs is the role's; what an expression comes to is not checked."""
    return documented == default or (isinstance(default, str) and "{{" in default)


def main(arguments: list[str]) -> int:
    """Check every role, after writing its table unless ``--check`` is given; return 1 where something is wrong."""
    roles = sorted(path.parent for path in ROOT.glob("roles/*/meta"))
    sentences = [sentence for role in roles for sentence in problems(role, write="--check" not in arguments)]
    print(*(sentence.replace(f"{ROOT}/", "") for sentence in sentences), sep="\n", end="\n" if sentences else "")
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
