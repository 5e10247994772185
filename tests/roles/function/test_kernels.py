"""Compiled kernels: compiled once, found by replicas at another path, put right where they were changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.function.kernels import ANY_PROCESSOR, MARK, changes, compiled, kept, kind
from ansible.module_utils.node.change import carry_out
from ansible.module_utils.node.errors import NodeError
from numba.core.caching import _CacheLocator
from roles_modules import module

if TYPE_CHECKING:
    from collections.abc import Mapping

FUNCTION = """
import numba

@numba.njit(cache=True)
def total(numbers):
    return numbers.sum()

def warm_up():
    import numpy
    total(numpy.ones(3))
"""
# How many signatures were found compiled, and how many had to be compiled.
ASK = """
import json
from app import function
function.warm_up()
stats = function.total.stats
print(json.dumps([sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one kernel."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "app").mkdir()
    (folder / "app" / "__init__.py").touch()
    (folder / "app" / "function.py").write_text(FUNCTION)
    return folder


@pytest.fixture(scope="module")
def kernels(project: Path) -> dict[str, str]:
    return compiled(project, sys.executable)


def hits_and_misses(project: Path, folder: Path, environment: Mapping[str, str] = ANY_PROCESSOR) -> list[int]:
    """What a replica of a project finds in its folder of kernels."""
    with_kernels = {**os.environ, **environment, "NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=project, env=with_kernels, capture_output=True, text=True, check=True
    )
    counts: list[int] = json.loads(done.stdout)
    return counts


def test_folders_are_named_as_numba_names_them() -> None:
    file = "/var/lib/faasbed/runtime/code/app/models/fits/layout.py"
    assert kept(Path(file).parent) == _CacheLocator.get_suitable_cache_subpath(file)


def test_kernels_are_found_at_another_path_and_put_right_where_they_were_changed(
    project: Path, kernels: dict[str, str], tmp_path: Path
) -> None:
    node, folder = tmp_path / "node" / "code", tmp_path / "node" / "compiled"
    shutil.copytree(project / "app", node / "app", ignore=shutil.ignore_patterns("__pycache__"))
    assert hits_and_misses(node, tmp_path / "empty") == [0, 1]
    carry_out(changes(kernels, node, folder))
    assert hits_and_misses(node, folder) == [1, 0]
    assert list(changes(kernels, node, folder)) == []
    for spoil in (
        lambda: next(folder.rglob("*.nbc")).write_bytes(b"damaged"),
        lambda: next(folder.rglob("*.nbi")).unlink(),
        lambda: (folder / MARK).write_text("other kernels"),
    ):
        spoil()
        assert [change.sentence for change in changes(kernels, node, folder)] == [f"bring compiled kernels to {folder}"]
        carry_out(changes(kernels, node, folder))
        assert list(changes(kernels, node, folder)) == []
        assert hits_and_misses(node, folder) == [1, 0]


def test_what_a_replica_compiles_beside_them_is_no_change(
    project: Path, kernels: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "compiled"
    carry_out(changes(kernels, project, folder))
    more = "from app import function; import numpy; function.total(numpy.ones(3, dtype='int64'))"
    environment = {**os.environ, **ANY_PROCESSOR, "NUMBA_CACHE_DIR": str(folder)}
    before = next(folder.rglob("*.nbi")).read_bytes()
    subprocess.run([sys.executable, "-c", more], cwd=project, env=environment, check=True)
    assert next(folder.rglob("*.nbi")).read_bytes() != before
    assert list(changes(kernels, project, folder)) == []
    assert hits_and_misses(project, folder) == [1, 0]


def test_a_project_without_kernels_is_named(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "function.py").write_text("def warm_up():\n    pass\n")
    with pytest.raises(NodeError, match="compiled no kernels of"):
        compiled(tmp_path, sys.executable)


def test_the_controller_compiles_once_for_a_code_and_again_what_a_power_cut_left_of_it(
    project: Path, tmp_path: Path
) -> None:
    def made() -> tuple[Path, float]:
        told = module("function_kernels", root=str(project), folder=str(tmp_path), python=sys.executable)
        assert told["kind"] == kind(sys.executable)
        file = Path(told["file"])
        return file, file.stat().st_mtime_ns

    file, first = made()
    whole = file.read_text()
    assert "app/function.total-" in whole
    assert made() == (file, first)
    file.write_text(whole[:100])
    assert made()[0] == file
    assert json.loads(file.read_text()).keys() == json.loads(whole).keys()
    (project / "app" / "more.py").write_text("MORE = 1\n")
    assert made()[0] != file
