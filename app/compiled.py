"""The compiled kernels that the image ships, put where numba reads and writes them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping


def unpack(environment: MutableMapping[str, str]) -> None:
    """Copy the folder FUNCTION_COMPILED, where there is one, to a temporary folder and name that NUMBA_CACHE_DIR.

    To be called before numba is imported. numba uses no folder that it cannot write, and the image's file system is
    read-only; what it finds in a folder it need not compile, and what it compiles all the same it may keep there. The
    kernels fit any processor of the architecture: the image also sets NUMBA_CPU_NAME and NUMBA_CPU_FEATURES.
    """
    shipped = environment.get("FUNCTION_COMPILED")
    if shipped:
        folder = Path(tempfile.mkdtemp(prefix="function-"))
        environment["NUMBA_CACHE_DIR"] = str(shutil.copytree(shipped, folder / "compiled"))
