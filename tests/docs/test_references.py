"""What documents refer to is there."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def documents(root: Path) -> list[str]:
    """The Markdown files of the repository."""
    listing = subprocess.run(["git", "ls-files", "*.md"], cwd=root, capture_output=True, text=True, check=True)
    return listing.stdout.split()


def test_every_link_to_a_file_of_the_repository_leads_to_one(root: Path) -> None:
    missing = [
        f"{name}: {target}"
        for name in documents(root)
        for target in LINK.findall((root / name).read_text("utf-8"))
        if "://" not in target and not (root / name).parent.joinpath(target).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/extending.md"])
def test_every_path_in_a_document_about_the_rooms_is_there(root: Path, name: str) -> None:
    text = (root / name).read_text("utf-8")
    paths = re.findall(
        r"`((?:app|artifacts|collect|docs|experiments|inventories|nodes|playbooks|roles|tests)/[^`\s]*)`", text
    )
    assert paths
    assert [path for path in paths if "<" not in path and not (root / path).exists()] == []
