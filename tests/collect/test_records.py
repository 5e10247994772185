"""The record format: what is written is read again, torn lines are passed over, damaged ones are named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from generated_run import all_records, model, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collect import records
from collect.records import ModelRecord, RequestRecord

if TYPE_CHECKING:
    from pathlib import Path

nanoseconds = st.none() | st.integers(0, 2**62)
number = st.floats(allow_nan=False, allow_infinity=False)
parameters = st.none() | st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | number | st.text(max_size=8))
requests = st.builds(
    request,
    replica=st.none() | st.text(max_size=12),
    repetition=st.integers(0, 10_000),
    warmup=st.booleans(),
    sent_ns=nanoseconds,
    last_byte_ns=nanoseconds,
    error=st.none() | st.text(max_size=30),
    parameters=parameters,
    accuracy_validation=st.none() | number,
    phases_ms=st.dictionaries(st.text(max_size=8), number, max_size=4),
)
models = st.builds(
    model,
    base_station=st.from_regex(r"[a-z][a-z0-9.-]{0,12}", fullmatch=True),
    response_time_ms=st.none() | number,
    parameters=parameters,
    error=st.none() | st.text(),
)
anything = requests | models


@given(anything)
def test_a_record_is_read_as_it_was_written(record: records.Record) -> None:
    line = records.dump(record)
    assert "\n" not in line
    assert records.load(line) == record


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    before=st.lists(anything, max_size=3),
    torn=anything,
    after=st.lists(anything, min_size=1, max_size=3),
    data=st.data(),
)
def test_a_torn_line_costs_itself_and_nothing_else(
    tmp_path: Path, before: list[records.Record], torn: records.Record, after: list[records.Record], data: st.DataObject
) -> None:
    path = tmp_path / "samples.jsonl"
    path.unlink(missing_ok=True)
    records.append(path, before)
    whole = records.dump(torn).encode()
    cut = data.draw(st.integers(1, len(whole) - 1))
    with path.open("ab") as file:
        file.write(whole[:cut])
    assert list(records.read(path)) == before
    records.append(path, after)
    assert list(records.read(path)) == [*before, *after]
    assert list(records.scan(path)).count(None) == 1


def test_a_line_cut_anywhere_is_torn_and_never_damaged(tmp_path: Path) -> None:
    whole = records.dump(request(error='caf\xe9 \U00010348 "}', phases_ms={"a": -1.5e-9, "b": 2e300}, cold=True))
    path = tmp_path / "samples.jsonl"
    for cut in range(1, len(whole)):
        path.write_text(whole[:cut] + "\n")
        assert list(records.scan(path)) == [None], whole[:cut]


def test_a_whole_line_that_only_lacks_its_newline_counts(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(records.dump(model()))
    records.append(path, [request()])
    assert list(records.read(path)) == [model(), request()]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("response_time_ms", "fast"),
        ("response_time_ms", True),
        ("response_time_ms", float("nan")),
        ("repetition", 1.5),
        ("repetition", None),
        ("warmup", 0),
        ("parameters", [1]),
        ("scenario", 3),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(name: str, value: Any) -> None:
    entries = json.loads(records.dump(model()))
    with pytest.raises(records.RecordError, match=rf"invalid record: Expected .* at \$\.{name}|not JSON"):
        records.load(json.dumps({**entries, name: value}))


@pytest.mark.parametrize("number", ["1e999", "1" + "0" * 400, "1" + "0" * 5000])
def test_a_number_too_large_for_a_float_is_refused(number: str) -> None:
    with pytest.raises(records.RecordError, match=r"out of range - at \$\.fit_ms"):
        records.load(records.dump(model()).replace('"fit_ms":12.0', f'"fit_ms":{number}'))


def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"\xff":1}\n')
    with pytest.raises(records.RecordError, match="line 1"):
        list(records.read(path))


def test_a_number_that_is_not_one_is_never_written() -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        records.dump(model(accuracy_test=float("nan")))


@given(anything, st.data())
def test_a_line_that_was_changed_by_hand_is_refused(record: records.Record, data: st.DataObject) -> None:
    line = bytearray(records.dump(record).encode())
    line[data.draw(st.integers(0, len(line) - 1))] ^= 1 << data.draw(st.integers(0, 6))
    with pytest.raises(records.RecordError):
        records.load(bytes(line))


@pytest.mark.parametrize("kept", [0, 1, 60], ids=["nothing", "a brace", "a part"])
@pytest.mark.parametrize("zeros", [1, 4096, 3 * records.LINE_BYTES])
def test_zeros_that_a_power_cut_left_are_a_torn_line_and_the_run_goes_on(tmp_path: Path, kept: int, zeros: int) -> None:
    path = tmp_path / "samples.jsonl"
    records.append(path, [request()])
    with path.open("ab") as file:
        file.write(records.dump(model()).encode()[:kept] + b"\0" * zeros)
    assert list(records.scan(path)) == [request(), None]
    records.append(path, [model()])
    assert list(records.scan(path)) == [request(), None, model()]


def test_a_run_of_schema_1_has_neither_plan_nor_checksum_and_is_read(tmp_path: Path) -> None:
    old = {**json.loads(records.dump(model())), "schema": 1}
    for name in ("plan", "requests", "checksum"):
        del old[name]
    (tmp_path / "samples.jsonl").write_text(json.dumps(old) + "\n")
    (record,) = records.read(tmp_path / "samples.jsonl")
    assert record == model(schema=1, plan=None, requests=None)


@pytest.mark.parametrize("without", ["plan", "checksum"])
def test_a_line_of_this_schema_without_plan_or_checksum_was_changed(without: str) -> None:
    line = records.dump(model(plan=None) if without == "plan" else model())
    if without == "checksum":
        line = json.dumps({name: value for name, value in json.loads(line).items() if name != "checksum"})
    with pytest.raises(records.RecordError, match=f"no {without} in a line of schema 5: it was changed"):
        records.load(line)


@pytest.mark.parametrize("name", ["../../x", 'x"><meta http-equiv="refresh">', "", "a b", "x\n", "[red]", "a" * 33])
def test_the_name_of_a_scenario_is_one_that_a_scenario_file_may_have(name: str) -> None:
    with pytest.raises(records.RecordError, match="invalid scenario: expected a name as scenario"):
        records.load(records.dump(model(scenario=name)))


@pytest.mark.parametrize("kind", [RequestRecord, ModelRecord])
def test_every_time_has_its_unit_in_its_name(kind: type) -> None:
    timed = [
        entry.name
        for entry in msgspec.structs.fields(kind)
        if "time" in entry.name or entry.name.endswith(("byte", "sent"))
    ]
    assert all(name.endswith(("_ns", "_ms", "_bytes")) for name in timed)


def test_a_run_of_both_scenarios_fits_into_a_megabyte(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    samples = all_records()
    records.append(path, samples)
    assert list(records.read(path)) == samples
    assert path.stat().st_size < 1_000_000
