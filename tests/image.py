"""The function's image, built once a session as docs/image.md says for sites without a registry."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from testbed import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAMS = ("mmdebstrap", "buildah", "podman", "runc")


@dataclass(frozen=True)
class BuiltImage:
    """The folder ``build`` that `make image` leaves, what it printed, and the environment of buildah and podman."""

    build: Path
    said: str
    environment: dict[str, str]

    def run(self, *command: str) -> str:
        """What a program says in the image's environment; a failure is a failed test."""
        return run(command, self.build.parent, self.environment)


def run(command: tuple[str, ...], folder: Path, environment: dict[str, str]) -> str:
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{shlex.join(command)}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
    return ended.stdout


@pytest.fixture(scope="session")
def function_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuiltImage]:
    """The image on a base of Debian packages, in a store of its own; skipped where it cannot be built."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("mmdebstrap and buildah are used as root here")
    folder = tmp_path_factory.mktemp("containers")
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
    )
    # Where root may not raise limits, the ones that podman sets by itself are refused.
    (folder / "containers.conf").write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n[engine]\nruntime = "runc"\n'
    )
    environment = {
        **os.environ,
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "PYTHONPATH": str(ROOT),
    }
    recipe = (ROOT / "docs" / "image.md").read_text().rpartition("```sh\n")[2].partition("```")[0]
    said = run(("bash", "-euc", recipe.replace("python -m", f"{sys.executable} -m")), folder, environment)
    yield BuiltImage(folder / "build", said, environment)
    shutil.rmtree(folder)
