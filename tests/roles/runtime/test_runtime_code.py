"""Code on nodes: equal texts are equal files, so that nodes can share what was compiled from them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from testbed import BIN, ROOT, run

if TYPE_CHECKING:
    from pathlib import Path


def ship(folder: Path, files: dict[str, str]) -> bool:
    """Run the module on this machine; says whether it changed anything."""
    arguments = json.dumps({"folder": str(folder), "files": files})
    library = str(ROOT / "roles" / "runtime" / "library")
    command = [str(BIN / "ansible"), "localhost", "--connection=local", "-M", library, "-m", "runtime_code", "-a"]
    shared = str(ROOT / "roles" / "node" / "module_utils")
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_MODULE_UTILS": shared}
    shipped = run([*command, arguments], cwd=ROOT, env=environment)
    assert shipped.returncode == 0, shipped.stdout + shipped.stderr
    return '"changed": true' in shipped.stdout


def test_equal_texts_have_equal_times_and_other_texts_of_the_same_size_have_others(tmp_path: Path) -> None:
    assert ship(tmp_path / "one", {"app/a.py": "x = 1\n", "app/b.py": "x = 2\n"})
    assert ship(tmp_path / "two", {"app/a.py": "x = 1\n"})
    one, other, two = (tmp_path / name for name in ("one/app/a.py", "one/app/b.py", "two/app/a.py"))
    assert one.stat().st_mtime_ns == two.stat().st_mtime_ns
    assert one.stat().st_mtime_ns != other.stat().st_mtime_ns


def test_a_second_run_changes_nothing_and_what_is_not_given_goes(tmp_path: Path) -> None:
    assert ship(tmp_path, {"a.py": "x = 1\n", "b.py": "x = 2\n"})
    assert not ship(tmp_path, {"a.py": "x = 1\n", "b.py": "x = 2\n"})
    assert ship(tmp_path, {"a.py": "x = 3\n"})
    assert (tmp_path / "a.py").read_text(encoding="utf-8") == "x = 3\n"
    assert not (tmp_path / "b.py").exists()
