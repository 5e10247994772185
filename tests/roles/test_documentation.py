"""What a module's documentation says is what the module takes, and its example can be copied."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from testbed import BIN, ROOT

MODULES = {path.stem: path for path in sorted(ROOT.glob("roles/*/library/*.py"))}
DESCRIBED = ("type", "elements", "choices", "default", "required")


@pytest.fixture(scope="module")
def documentation() -> dict[str, Any]:
    """What ansible-doc shows of each module, by its name."""
    folders = ":".join(sorted({str(path.parent) for path in MODULES.values()}))
    command = [str(BIN / "ansible-doc"), "--json", "--module-path", folders, *MODULES]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ})
    assert shown.returncode == 0, shown.stderr
    modules: dict[str, Any] = json.loads(shown.stdout)
    return modules


@pytest.fixture
def accepted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The argument_spec with which a module starts."""
    specs = []

    def start(_: AnsibleModule, argument_spec: dict[str, Any], **_more: Any) -> None:
        specs.append(argument_spec)
        raise KeyboardInterrupt

    monkeypatch.setattr(AnsibleModule, "__init__", start)
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module(request.getfixturevalue("name")).main()
    return specs[0]


@pytest.mark.parametrize("name", MODULES)
def test_a_modules_options_are_those_that_its_documentation_describes(
    name: str, accepted: dict[str, Any], documentation: dict[str, Any]
) -> None:
    described = documentation[name]["doc"]["options"]

    def of(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {
            option: {
                key: list(spec[key]) if key == "choices" else spec[key]
                for key in DESCRIBED
                if spec.get(key) not in (None, False)
            }
            for option, spec in options.items()
        }

    assert of(described) == of(accepted)


@pytest.mark.parametrize("name", MODULES)
def test_a_modules_example_uses_it_with_options_that_it_has(name: str, documentation: dict[str, Any]) -> None:
    shown = documentation[name]
    required = {option for option, spec in shown["doc"]["options"].items() if spec.get("required")}
    (task, *_more) = yaml.safe_load(shown["examples"])
    assert required <= task[name].keys() <= shown["doc"]["options"].keys()


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_returns_is_described(name: str, documentation: dict[str, Any]) -> None:
    assert all({"description", "type", "returned"} <= value.keys() for value in documentation[name]["return"].values())
    assert documentation[name]["return"]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_named_after_its_role(name: str) -> None:
    assert name.startswith(f"{MODULES[name].parents[1].name}_")


def test_there_are_modules() -> None:
    assert {path.parents[1].name for path in MODULES.values()} >= {
        "function",
        "k3s",
        "knative",
        "lab",
        "netem",
        "runtime",
    }
