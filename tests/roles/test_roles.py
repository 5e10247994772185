"""What every role has: a README whose playbook works as printed, a table of its variables that is up to date, one anatomy."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from testbed import BIN, ROOT

from docs import variables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROLES = {path.parent.name: path.parent for path in sorted(ROOT.glob("roles/*/meta"))}
DOING = {name: role for name, role in ROLES.items() if (role / "tasks" / "main.yml").exists()}


def printed(role: Path) -> list[dict[str, Any]]:
    """The first playbook in a role's README."""
    (text, *_more) = re.findall(r"```yaml\n(- name: .*?)```", (role / "README.md").read_text("utf-8"), re.DOTALL)
    plays: list[dict[str, Any]] = yaml.safe_load(text)
    return plays


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
def test_the_tables_of_variables_are_those_of_the_roles(role: Path) -> None:
    assert variables.problems(role) == []


def test_a_table_that_is_not_up_to_date_and_a_default_that_differs_are_found(tmp_path: Path) -> None:
    role = tmp_path / "role"
    texts = {
        "README.md": "# role\n\n<!-- variables -->\n<!-- end of variables -->\n",
        "defaults/main.yml": "role_size: 2\nrole_new: a\n",
        "meta/argument_specs.yml": "argument_specs: {main: {options: {role_size: {type: int, default: 1, "
        "description: A C(size).}, role_gone: {type: str, description: Gone.}}}}",
    }
    for name, text in texts.items():
        (role / name).parent.mkdir(parents=True, exist_ok=True)
        (role / name).write_text(text)
    sentences = "\n".join(variables.problems(role))
    assert "role_new of" in sentences
    assert "role_size has the default 1, expected 2" in sentences
    assert "role_gone of" in sentences
    assert "the table of variables is not up to date" in sentences
    variables.problems(role, write=True)
    assert "| `role_size` | int | `2` | A `size`. |" in (role / "README.md").read_text()


def test_the_playbooks_in_the_readmes_are_playbooks(tmp_path: Path) -> None:
    playbook = tmp_path / "printed.yml"
    playbook.write_text(yaml.safe_dump([play for role in DOING.values() for play in printed(role)]))
    command = [str(BIN / "ansible-playbook"), "-i", "inventories/edge", "--syntax-check", str(playbook)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", DOING)
def test_the_playbook_in_a_readme_sets_only_variables_that_the_role_has(name: str) -> None:
    options = yaml.safe_load((ROLES[name] / "meta/argument_specs.yml").read_text("utf-8"))
    known = options["argument_specs"]["main"]["options"].keys()
    used = [role for play in printed(ROLES[name]) for role in play["roles"] if role["role"] == name]
    assert used
    assert all(role.keys() - {"role"} <= known for role in used)


@pytest.mark.parametrize("name", DOING)
def test_a_role_does_what_its_action_says_and_can_be_undone(name: str) -> None:
    options = yaml.safe_load((ROLES[name] / "meta/argument_specs.yml").read_text("utf-8"))
    actions = options["argument_specs"]["main"]["options"][f"{name}_action"]["choices"]
    assert "remove" in actions
    if name != "lab":  # each of its kinds has a task file, which does both
        files = {path.stem for path in (ROLES[name] / "tasks").rglob("*.yml")}
        assert set(actions) <= files


@pytest.mark.parametrize("name", DOING)
def test_a_default_needs_no_variable_of_the_project(name: str) -> None:
    text = "\n".join(path.read_text("utf-8") for path in ROLES[name].glob("defaults/*.yml"))
    assert not re.findall(r"\bfaasbed_\w+(?! \| default)\b(?! \| default)", text)


@pytest.mark.parametrize("name", ROLES)
def test_every_variable_that_a_role_uses_is_set_in_the_role(name: str) -> None:
    files = [path for path in ROLES[name].rglob("*") if path.suffix in {".yml", ".j2"} and path.parent.name != "meta"]
    text = "\n".join(path.read_text("utf-8") for path in files)
    anchors = set(re.findall(r"&(\w+)", text))
    modules = {path.stem for path in ROLES[name].glob("library/*.py")}
    defined = set(re.findall(rf"^\s*({name}_\w+):|(?:register|loop_var): ({name}_\w+)", text, re.MULTILINE))
    used = set(re.findall(rf"\b{name}_\w+", text))
    assert used <= {variable for pair in defined for variable in pair} | anchors | modules


@pytest.mark.parametrize("name", ROLES)
def test_what_a_task_keeps_hides_no_variable_of_another_task(name: str) -> None:
    # What a host keeps (register, set_fact) outranks the variables of a task, in all later plays of one ansible-playbook.
    kept, own = set[str](), set[str]()
    for path in ROLES[name].glob("tasks/**/*.yml"):
        for task in every_task(yaml.safe_load(path.read_text("utf-8"))):
            kept |= {task["register"]} if "register" in task else set()
            kept |= task.get("ansible.builtin.set_fact", {}).keys()
            own |= task.get("vars", {}).keys()
    assert kept & own == set()


def every_task(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield tasks and those in their blocks."""
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from every_task(task.get(part, []))
