"""What answered: the version of this code and of what its result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

VERSION = "0.1.0"
LIBRARIES = ("scikit-learn", "numpy", "scipy", "numba")


def versions() -> dict[str, str]:
    """Versions of Python, of this code, and of the libraries that are installed."""
    versions_of = {"python": platform.python_version(), "faasbed": VERSION}
    for name in LIBRARIES:
        try:
            versions_of[name] = version(name)
        except PackageNotFoundError:
            continue  # another function may not need it
    return versions_of
