"""Inputs for the fuzzers: mutations of good inputs and of the table's rows, by surface, in the keys that each one takes."""

from __future__ import annotations

import copy
import gzip
import json
from typing import Any

import yaml
from bad_inputs import as_bytes, good_csv, good_lines, rows
from hypothesis import strategies as st
from surfaces import bodies, inventories, record_lines, replies, scenarios

# Longer ones are about size only.
SEED_BYTES = 5_000
TOKENS = [
    *(b"\0", b"\xff", b"\r\n", b"\n", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b";", b"-", b"1e999", b"9" * 30),
    *(b"\\ud800", b"\xef\xbb\xbf", b"null", b"true", b"NaN", b"<b>", b"{{ x }}", b"\x1b[31m", b"../", b"\xc3", b"%00"),
]
NASTY: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 2**31, 2**53 + 1, 2**64, 10**30, 1e300, -1e300, float("inf"), float("nan")),
    *(
        "",
        " ",
        "\0",
        "\x1b[31m",
        "<script>",
        "../../x",
        "a" * 300,
        "{{ x }}",
        "é",
        "\ud800",
        "1",
        "edge",
        [],
        [[]],
        {},
        {"": ""},
    ),
]
JSON = st.sampled_from(NASTY) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def edited(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Draw one of the seeds with some of its bytes replaced, removed, or inserted, also from another one."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        end = start + draw(st.sampled_from([0, 0, 1, 2, 8, 64, 10_000]))
        other = draw(st.sampled_from(seeds))
        cut = draw(st.integers(0, len(other)))
        content[start:end] = draw(st.sampled_from([*TOKENS, other[cut : cut + 40], b""]) | st.binary(max_size=8))
    return bytes(content)


@st.composite
def altered(draw: st.DrawFn, seed: Any) -> Any:
    """Draw a JSON value with others in some of its places, or without them."""
    value = copy.deepcopy(seed)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(_paths(value)) or [()]))
        if not path:
            return draw(JSON)
        *parents, last = path
        inner = value
        for part in parents:
            inner = inner[part]
        if draw(st.integers(0, 4)) == 0:
            del inner[last]
        else:
            inner[last] = copy.deepcopy(draw(JSON))  # later ones are made within it
    return value


def _paths(value: Any, before: tuple[Any, ...] = ()) -> Any:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield (*before, key)
        yield from _paths(inner, (*before, key))


def _seeds(surface: str, key: str, *good: bytes) -> list[bytes]:
    """Return good inputs, and what the table's rows have under a key, save what is long."""
    found = [as_bytes(row.given[key]) for row in rows(surface) if row.given.get(key) is not None]
    return [*good, *(one for one in found if len(one) <= SEED_BYTES)]


def _given(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(keys)


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _yaml(value: Any) -> bytes:
    return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")


def _bodies() -> st.SearchStrategy[dict[str, Any]]:
    plain = edited(_seeds("bodies", "body", bodies.good())) | altered(bodies.GOOD).map(_dumped)
    packed = edited([gzip.compress(bodies.good(), mtime=0)]) | plain.map(gzip.compress)
    return _given(body=plain) | _given(body=packed, headers=st.just({"Content-Encoding": "gzip"}))


def _raw_http() -> st.SearchStrategy[dict[str, Any]]:
    return _given(send=edited(_seeds("raw_http", "send")), then=st.sampled_from(["close", "close", "close", ""]))


def _scenarios() -> st.SearchStrategy[dict[str, Any]]:
    return _given(file=edited(_seeds("scenarios", "file", _yaml(scenarios.EDGE))) | altered(scenarios.EDGE).map(_yaml))


def _inventories() -> st.SearchStrategy[dict[str, Any]]:
    """Values of hosts, and names: Ansible prints no other shape."""
    host, group = st.sampled_from(inventories.HOSTS), st.sampled_from(list(inventories.GROUPS))
    names = st.lists(st.sampled_from(inventories.HOSTS) | st.text(max_size=9), max_size=3)
    variable = st.sampled_from(["data_address", "function_platform", "lab_kind", "ansible_host"])
    values = st.dictionaries(st.builds("_meta.hostvars.{}.{}".format, host, variable), JSON, max_size=2)
    groups = st.dictionaries(group.map("{}.hosts".format), names, max_size=2)
    return _given(**{"with": st.builds(lambda one, other: {**one, **other}, values, groups)})


def _datasets() -> st.SearchStrategy[dict[str, Any]]:
    good = good_csv(24), good_csv(24, ";"), good_lines(24), gzip.compress(good_csv(24), mtime=0)
    name = st.sampled_from(["news.csv", "news.json", "news.jsonl", "news", "news.csv.gz", "news.zip"])
    return _given(content=edited(_seeds("datasets", "content", *good)), name=name)


def _record_lines() -> st.SearchStrategy[dict[str, Any]]:
    good = [record_lines.lines("model", {}, alone=True), record_lines.lines("request", {}, alone=True)]
    fields = [sorted(set(json.loads(line)) - {"checksum"}) for line in good]
    changes = [st.dictionaries(st.sampled_from(names), JSON, min_size=1, max_size=3) for names in fields]
    line = _given(line=edited(_seeds("record_lines", "line", *good)), end=st.sampled_from(["\n", "", "\0" * 9]))
    return line | _given(model=changes[0]) | _given(request=changes[1])


def _run_folders() -> st.SearchStrategy[dict[str, Any]]:
    files = ["manifest.json", "steps.json", "plan.json", "scenario.yaml", "links/before.json", "links/after.json"]
    content = edited([b"", b"{}", b"[]", b'{"version": 3}', b'[{"step": "measure", "seconds": 1}]', b"name: edge\n"])
    whole = _given(file=st.sampled_from([*files, "load/edge-1/machine.json", "raw/samples.jsonl"]), content=content)
    places = {
        "manifest.json": [
            "run",
            "plan",
            "plan.hash",
            "scenarios",
            "dataset",
            "seed",
            "inventory",
            "expect",
            "warnings",
            "nodes",
            "versions",
        ],
        "plan.json": [
            "version",
            "run",
            "seed",
            "splits",
            "splits.0",
            "order",
            "order.0",
            "scenarios.edge",
            "base_stations",
        ],
        "scenario.yaml": ["name", "repetitions", "scenarios", "scenarios.0.links", "scenarios.0.function", "expect"],
        "links/before.json": [
            "schema",
            "links",
            "links.0",
            "links.0.delay",
            "links.0.loss",
            "links.0.histogram",
            "links.0.path",
        ],
        "links/after.json": [
            "backend",
            "taken_at",
            "links.0.ok",
            "links.0.problems",
            "links.0.link",
            "links.0.probes",
            "links.0.expected",
        ],
        "steps.json": ["0", "0.step", "0.seconds", "0.status"],
    }
    parts = [
        st.fixed_dictionaries(
            {"file": st.just(file), "with": st.dictionaries(st.sampled_from(paths), JSON, min_size=1, max_size=1)}
        )
        for file, paths in places.items()
    ]
    edits = st.lists(whole | st.one_of(parts), min_size=1, max_size=2, unique_by=lambda edit: str(edit["file"]))
    return _given(
        edits=edits, do=st.sampled_from(["report", "resume", "resume"]), repetitions=st.sampled_from([None, 4])
    )


def _packets() -> st.SearchStrategy[dict[str, Any]]:
    numbers = st.sampled_from([0, 1, 2, 255, 256, 999_999, 1_000_000, 1_000_001, 2**32 - 1]) | st.integers(0, 2**32 - 1)
    probes = _given(number=numbers, sent=st.integers(0, 2**64 - 1))
    fields = {"number": numbers, "base": numbers, "order": numbers, "window": st.integers(0, 2**256 - 1)}
    fields |= {"arrived": st.integers(0, 2**64 - 1), "answered": st.integers(0, 2**64 - 1)}
    answers = st.fixed_dictionaries({}, optional=fields)
    return _given(send=st.lists(probes | st.binary(max_size=80), max_size=6)) | _given(
        replies=st.lists(answers | st.binary(max_size=80), max_size=4)
    )


def _replies() -> st.SearchStrategy[dict[str, Any]]:
    timing = edited(_seeds("replies", "timing", b"parse;dur=1.5, search;dur=20"))
    raw = edited(_seeds("replies", "raw", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer-Timing: a;dur=1\r\n\r\n{}"))
    workload = st.sampled_from(["training", "http"])
    reply = altered(replies.GOOD).map(_dumped) | edited(_seeds("replies", "reply", _dumped(replies.GOOD)))
    return (
        _given(timing=timing.map(lambda header: header.decode(errors="replace")), workload=workload)
        | _given(reply=reply, workload=workload)
        | _given(raw=raw.map(lambda content: content or b"\r\n"), workload=workload, timeout_s=st.just(5.0))
    )


INPUTS = {
    "bodies": _bodies,
    "raw_http": _raw_http,
    "scenarios": _scenarios,
    "inventories": _inventories,
    "datasets": _datasets,
    "record_lines": _record_lines,
    "run_folders": _run_folders,
    "packets": _packets,
    "replies": _replies,
}
