"""In what runs differ that should be runs of the same: their scenarios, data sets, nodes and code. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collect.run import Run

# Keys of a scenario file that runs of the same may differ in: they change neither links nor requests.
FREE_KEYS = ("name", "repetitions", "expect")
KEY = re.compile(r"([a-z_]+):")
UNKNOWN = "unknown"
# What is shown of a value from a run's files, and how many lines of two scenario files that differ.
LENGTH = 80
SHOWN_LINES = 3
HASH_LENGTH = 8


def differences(runs: Mapping[str, Run]) -> list[str]:
    """Return in what runs differ, in sentences; what a run does not tell counts as a value of its own."""
    sentences = []
    for what, value in (("inventory", _inventory), ("data set", _dataset), ("processors", _processors)):
        by_value: dict[str, list[str]] = {}
        for name, run in runs.items():
            by_value.setdefault(value(run.manifest)[:LENGTH], []).append(name)
        if len(by_value) > 1:
            sentences.append(f"The runs differ in {what}: {_listed(by_value)}.")
    sentences += _scenarios(runs)
    commits: dict[str, list[str]] = {}
    for name, run in runs.items():
        commits.setdefault(_text(run.manifest.get("commit"))[:LENGTH], []).append(name)
    if len(commits) > 1:
        sentences.append(f"The runs differ in the commit of faasbed: {_listed(commits)}.")
    return sentences


def same_splits(runs: Mapping[str, Run]) -> list[str]:
    """Return which runs drew the same splits of the data, in sentences."""
    by_seed: dict[tuple[Any, Any], list[str]] = {}
    for name, run in runs.items():
        match run.manifest:
            case {"seed": int(seed), "dataset": {"sha256": str(digest)}}:
                by_seed.setdefault((seed, digest), []).append(name)
    return [
        f"{', '.join(names)} have seed {str(seed)[:LENGTH]} and so the same splits of the data: what other splits "
        "would change is not in the intervals. SEED= draws others."
        for (seed, _), names in by_seed.items()
        if len(names) > 1
    ]


def _scenarios(runs: Mapping[str, Run]) -> list[str]:
    """Return how scenario files differ from that of the first run, key by key."""
    first, *others = ((name, _sections(run.scenario)) for name, run in runs.items())
    sentences = []
    for name, sections in others:
        if sections == first[1]:
            continue
        if sections is None or first[1] is None:
            sentences.append(
                f"Whether {first[0]} and {name} have the same scenarios is unknown: one has no scenario.yaml."
            )
            continue
        lines = [
            line for key in (first[1] | sections) for line in _changed(first[1].get(key, []), sections.get(key, []))
        ]
        shown = "; ".join(lines[:SHOWN_LINES])
        more = f"; and {len(lines) - SHOWN_LINES} more lines" if len(lines) > SHOWN_LINES else ""
        sentences.append(f"The runs differ in their scenarios: {first[0]} and {name} in {shown}{more}.")
    return sentences


def _sections(text: str | None) -> dict[str, list[str]] | None:
    """Return the lines of a scenario file by its outermost keys; it is as faasbed wrote it, so no reader is needed."""
    if text is None:
        return None
    sections: dict[str, list[str]] = {}
    key = ""
    for line in text.splitlines():
        match = KEY.match(line)
        key = match[1] if match else key
        sections.setdefault(key, []).append(line)
    return {key: lines for key, lines in sections.items() if key not in FREE_KEYS}


def _changed(ours: list[str], theirs: list[str]) -> list[str]:
    """Return what differs in two versions of a section, line by line."""
    if len(ours) != len(theirs):
        return [f"{(ours or theirs)[0][:LENGTH].strip()} ({len(ours)} and {len(theirs)} lines)"]
    return [f"'{a.strip()[:LENGTH]}' and '{b.strip()[:LENGTH]}'" for a, b in zip(ours, theirs, strict=True) if a != b]


def _inventory(manifest: Mapping[str, Any]) -> str:
    return _text(manifest.get("inventory"))


def _dataset(manifest: Mapping[str, Any]) -> str:
    match manifest.get("dataset"):
        case {"sha256": str(digest), **others}:
            name = _text(others.get("source", others.get("name")))
            return f"{name[: LENGTH - HASH_LENGTH - 9]} (sha256 {digest[:HASH_LENGTH]})"
    return UNKNOWN


def _processors(manifest: Mapping[str, Any]) -> str:
    match manifest.get("nodes"):
        case {**nodes}:
            models = {_text(node.get("cpu")) for node in nodes.values() if isinstance(node, dict)}
            return " and ".join(sorted(models)) or UNKNOWN
    return UNKNOWN


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else UNKNOWN


def _listed(by_value: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in by_value.items())
