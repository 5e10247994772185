"""The function's compiled kernels: compiled once for a kind of nodes, and brought to where their replicas look for them.

numba finds what it compiled by the folder of the source file, the source's content, its own version and the processor.
Compiled for any processor of an architecture, kernels serve all nodes of the same kind.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node.change import Change
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.files import read, write
from ansible.module_utils.node.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# As the image has it (app/Dockerfile).
ANY_PROCESSOR = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
# What compiled code depends on beside its source.
PACKAGES = ("llvmlite", "numba", "numpy")
TELL = (
    "import json, platform, sys; from importlib.metadata import version; "
    "print(json.dumps({'machine': platform.machine(), 'python': '%d.%d' % sys.version_info[:2], "
    "**{name: version(name) for name in sys.argv[1:]}}))"
)
# In a node's folder of kernels: the SHA-256 of those that were brought.
MARK = "brought"
COMPILE = "from app.function import warm_up; warm_up()"


def kind(python: str) -> dict[str, str]:
    """Return what compiled kernels have to fit: the architecture, and the versions of a Python and its packages.

    Raises:
        NodeError: the Python does not start, or lacks one of the packages.
    """
    told: dict[str, str] = json.loads(run(python, "-c", TELL, *PACKAGES))
    return told


def code(folder: Path) -> str:
    """Return what the code in a folder is, as one word."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        for part in (str(path.relative_to(folder)).encode(), path.read_bytes()):
            digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def kept(folder: Path) -> str:
    """Return the name of the folder in which numba keeps what is compiled of the sources in a folder.

    So numba.core.caching has it; a test compares both.
    """
    return f"{folder.name}_{hashlib.sha1(str(folder).encode()).hexdigest()}"  # noqa: S324  # numba's choice


def compiled(root: Path, python: str) -> dict[str, str]:
    """Compile the kernels of the project in a folder for any processor, and return each file's content by its name.

    Names are relative to the project, as `app/models/fits/layout._numbers-39.py311.nbi`; contents are packed as text.

    Raises:
        NodeError: they cannot be compiled.
    """
    root = root.resolve()  # as a process sees its working directory
    with tempfile.TemporaryDirectory() as folder:
        place = {"NUMBA_CACHE_DIR": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        run(python, "-c", COMPILE, environment={**os.environ, **ANY_PROCESSOR, **place}, folder=str(root))
        sources = {kept(path): path for path in (root / "app", *(root / "app").rglob("*")) if path.is_dir()}
        packed = {
            str(sources[path.parent.name].relative_to(root) / path.name): _packed(path.read_bytes())
            for path in sorted(Path(folder).rglob("*.nb[ci]"))
        }
    if not packed:
        raise NodeError(f"{python} compiled no kernels of {root}/app")
    return packed


def changes(kernels: Mapping[str, str], project: Path, folder: Path) -> Iterator[Change]:
    """Yield what has to change for the replicas of a node to find compiled kernels.

    A replica may compile more, which numba adds to its indices (nbi); compiled code (nbc) is never written again.

    Args:
        kernels: what `compiled` returned.
        project: where the project is on this node, by the very path by which replicas have it.
        folder: NUMBA_CACHE_DIR of the replicas.
    """
    word = hashlib.sha256(json.dumps(dict(kernels), sort_keys=True).encode()).hexdigest()
    project = project.resolve()
    places = {folder / kept((project / name).parent) / Path(name).name: text for name, text in kernels.items()}
    is_whole = read(folder / MARK) == word and all(
        place.is_file() and (place.suffix == ".nbi" or place.read_bytes() == _unpacked(text))
        for place, text in places.items()
    )
    if not is_whole:
        yield Change(f"bring compiled kernels to {folder}", partial(_bring, places, folder / MARK, word))


def _bring(places: Mapping[Path, str], mark: Path, word: str) -> None:
    """Write compiled code, then the indices that name it, then what tells that all of it is there."""
    for place in sorted(places, key=lambda place: (place.suffix == ".nbi", place)):
        write(place, _unpacked(places[place]))
    write(mark, word)


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode("ascii")
