"""Finds words that faasbed does not use: ``docs/words.txt`` lists them with what to write instead."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = Path("docs/words.txt")
# Locked by other tools, somebody else's text, or the list itself.
EXEMPT = re.compile(
    r"LICENSE|CONTRIBUTING\.md|tests/docs/test_words\.py|.*requirements.*\.txt|docs/words\.(py|txt)|.*\.(svg|png)"
)


def rules(text: str) -> list[tuple[re.Pattern[str], str]]:
    """Return the pattern and the replacement of each line ``pattern => words``; ``#`` begins a comment line."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = [line.split(" => ", 1) for line in lines]
    return [(re.compile(pattern, re.IGNORECASE), words) for pattern, words in pairs]


def problems(name: str, text: str, listed: list[tuple[re.Pattern[str], str]]) -> list[str]:
    """Return a sentence for each place in a file's text that uses a listed word."""
    return [
        f"{name}:{number}: {match[0]!r}: write {words!r}"
        for number, line in enumerate(text.splitlines(), 1)
        for pattern, words in listed
        if (match := pattern.search(line))
    ]


def main() -> int:
    """Print every place in the repository's files; return 1 where there is one."""
    listed = rules((ROOT / LIST).read_text("utf-8"))
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    places = [
        problem
        for name in names
        if not EXEMPT.fullmatch(name) and (ROOT / name).is_file()
        for problem in problems(name, (ROOT / name).read_text("utf-8", errors="replace"), listed)
    ]
    print(*places, sep="\n", end="\n" if places else "", file=sys.stderr)
    return 1 if places else 0


if __name__ == "__main__":
    sys.exit(main())
