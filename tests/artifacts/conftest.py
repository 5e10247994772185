"""A release on loopback, and a folder to download it into."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from releases import Site, publish_release, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site() -> Iterator[Site]:
    """A server with nothing on it."""
    with serve(Site()) as site:
        yield site


@pytest.fixture
def released(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """All that the roles' versions name is on the server, which stands for GitHub and for the images' registries."""
    for program in ("skopeo", "zstd"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    publish_release(site)
    registries = "".join(
        f'[[registry]]\nprefix = "{name}"\nlocation = "{site.url.removeprefix("http://")}"\ninsecure = true\n'
        for name in ("gcr.io", "docker.io")
    )
    configuration = tmp_path / "home" / ".config" / "containers" / "registries.conf"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(registries, "utf-8")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAASBED_MIRROR", f"{site.url}/")
    return site
