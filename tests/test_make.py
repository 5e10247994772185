"""The Makefile hands on what users write, as it is: no part of it is evaluated by make or the shell."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PRINT_ARGUMENTS = "#!/bin/sh\nexec python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' \"$@\"\n"
# What a shell and make would run, each with a file that tells.
EVIL = "3$(touch shell)`touch backticks`;touch semicolon"


@pytest.fixture
def project(tmp_path: Path, root: Path) -> Path:
    """The Makefile beside a setup and a Python that print what they are given."""
    shutil.copy(root / "Makefile", tmp_path)
    (tmp_path / "setup.sh").write_text("exit 0\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PRINT_ARGUMENTS)
    python.chmod(0o755)
    return tmp_path


def arguments(project: Path, target: str, **variables: str) -> list[str]:
    """What the target's Python is given where the variables come from the environment, as in a workflow."""
    # Tests may themselves run under make, which hands its variables on.
    plain = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["make", "--no-print-directory", target],
        cwd=project, env={**plain, **variables}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    given: list[str] = json.loads(done.stdout)
    return given


def test_what_is_asked_for_reaches_the_program_as_it_was_written(project: Path) -> None:
    given = arguments(project, "experiment", REPETITIONS=EVIL, RESULTS="my résults", INVENTORY="my nodes", RUN="a b")
    assert given == [
        "-m", "experiments", "experiment", "--inventory", "my nodes", "--results", "my résults",
        "--repetitions", EVIL, "--run", "a b",
    ]  # fmt: skip
    assert {path.name for path in project.iterdir()} == {"Makefile", "setup.sh", ".venv"}


def test_a_default_is_no_option_where_a_run_may_be_resumed(project: Path) -> None:
    assert arguments(project, "experiment") == ["-m", "experiments", "experiment", "--results", "results"]
    assert arguments(project, "report") == ["-m", "collect", "report", "--results", "results"]
    assert arguments(project, "provision")[-4:] == ["--inventory", "local", "--scenario", "paper"]


def test_several_runs_are_several_words_and_none_is_an_error(project: Path) -> None:
    assert arguments(project, "compare", RUNS="a b")[:5] == ["-m", "collect", "compare", "a", "b"]
    with pytest.raises(subprocess.CalledProcessError) as caught:
        arguments(project, "compare")
    assert "RUNS: is empty: name two runs or more" in caught.value.stderr
