"""What troubleshooting.md quotes is what the code says: a message that was reworded is found here."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Said by Ansible, not by faasbed.
FOREIGN = ("UNREACHABLE", "Failed to connect to the host via ssh")


def headings() -> list[str]:
    text = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    return [code for line in text.splitlines() if line.startswith("### ") for code in re.findall(r"`([^`]+)`", line)]


@pytest.fixture(scope="module")
def sources() -> str:
    """All messages of the project, with literals that stand beside one another joined as Python and YAML join them."""
    folders = ["nodes", "experiments", "collect", "artifacts", "roles"]
    names = subprocess.run(
        ["git", "ls-files", *(f"{folder}/**.{kind}" for folder in folders for kind in ("py", "yml", "j2"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    text = "\n".join((ROOT / name).read_text("utf-8") for name in names)
    return " ".join(re.sub(r'"\s*\n\s*f?"', "", text).split())


def test_there_are_headings() -> None:
    assert len(headings()) > 30


@pytest.mark.parametrize("heading", headings())
def test_each_quoted_message_is_one_that_the_code_has(heading: str, sources: str) -> None:
    for part in heading.split("…"):
        # What stands between two blanks that differ, as " (", occurs everywhere.
        if part.strip(" ,.:;()") and not any(word in part for word in FOREIGN):
            is_said = part.strip() in sources  # not in the assert: the failure would print all sources
            assert is_said, f"no message contains {part.strip()!r}"
