"""The function's image, built as docs/image.md says for sites without a registry; once for each content of app/."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testbed import ROOT

from app.image import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

# The user's cache, where the lab keeps the nodes' file systems too.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "faasbed" / "tests"
PROGRAMS = ("mmdebstrap", "buildah", "podman", "runc")


@dataclass(frozen=True)
class BuiltImage:
    """The folder ``build`` that `make image` leaves, what it printed, and the environment of buildah and podman."""

    build: Path
    output: str
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
    kept = CACHE / f"image-{content(recipe)}"
    if kept.exists():
        shutil.copytree(kept, folder / "build")
        output = (folder / "build" / "output").read_text("utf-8")
        number = run(("podman", "pull", "--quiet", f"oci-archive:{folder}/build/function.oci.tar"), folder, environment)
        run(("podman", "tag", number.strip(), REFERENCE), folder, environment)
    else:
        output = run(("bash", "-euc", recipe.replace("python -m", f"{sys.executable} -m")), folder, environment)
        keep(folder / "build", output, kept)
    yield BuiltImage(folder / "build", output, environment)
    shutil.rmtree(folder)


def content(recipe: str) -> str:
    """What the image is made of, as a short name: another file of the function, another recipe, another name."""
    digest = hashlib.sha256(recipe.encode())
    for path in sorted(
        path for path in (ROOT / "app").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ):
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_mode:o}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def keep(build: Path, output: str, kept: Path) -> None:
    """Keep a build for the next session, whole or not at all, in place of those of other contents."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    for old in kept.parent.glob("image-*"):
        shutil.rmtree(old)
    draft = kept.with_name(f"draft-{os.getpid()}")
    shutil.copytree(build, draft)
    (draft / "output").write_text(output, "utf-8")
    draft.rename(kept)
