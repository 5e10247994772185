"""A run folder from elsewhere is data: what is foreign, damaged or hostile is refused by name, and nothing leaves it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from generated_run import RUN, all_records, write_run
from msgspec.structs import replace
from pydantic import ValidationError

from collect import records
from collect.__main__ import main
from collect.links import LinkReport
from collect.report import figures
from collect.report.figures import delays

if TYPE_CHECKING:
    from pathlib import Path

    Capture = pytest.CaptureFixture[str]


def analysed(results: Path, capsys: Capture, code: int = 0) -> str:
    """Analyse the run and return what was printed, on standard error where it is refused."""
    assert main(["analyse", "--results", str(results)]) == code
    output = capsys.readouterr()
    return output.err if code == 2 else output.out


def as_schema_1(path: Path) -> None:
    """Rewrite a record file as versions before the checksum wrote it."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    old = [
        {k: v for k, v in line.items() if k not in ("plan", "requests", "checksum")} | {"schema": 1} for line in lines
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in old))


def test_records_of_two_runs_are_refused_with_both_names(tmp_path: Path, capsys: Capture) -> None:
    write_run(tmp_path, [replace(r, run="another" if r.repetition > 2 else RUN) for r in all_records(repetitions=4)])
    assert "holds records of 2 runs (another, generated-numbers): expected one" in analysed(tmp_path, capsys, 2)


def test_records_of_two_plans_are_refused(tmp_path: Path, capsys: Capture) -> None:
    write_run(tmp_path, [replace(r, plan=f"{r.repetition // 2:016x}") for r in all_records(repetitions=3)])
    assert "holds records of 2 plans (0000000000000000, 0000000000000001)" in analysed(tmp_path, capsys, 2)


@pytest.mark.parametrize(("entry", "name"), [({"plan": {"hash": "f" * 16}}, "f" * 16), ({"run": "another"}, "another")])
def test_records_that_are_not_those_of_the_manifest_are_refused(
    tmp_path: Path, capsys: Capture, entry: dict[str, Any], name: str
) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    (folder / "manifest.json").write_text(json.dumps(entry))
    assert f"but manifest.json names {(next(iter(entry)) == 'run' and 'another') or 'f' * 16}" in analysed(
        tmp_path, capsys, 2
    )


def test_a_copy_in_a_subfolder_is_refused(tmp_path: Path, capsys: Capture) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    original = folder / "raw" / "samples.jsonl"
    copy = folder / "raw" / "copy" / "samples.jsonl"
    copy.parent.mkdir()
    copy.write_bytes(original.read_bytes())
    assert f"{copy} and {original} both hold records of base station bs" in analysed(tmp_path, capsys, 2)
    deep = folder / "raw" / "copy" / "again" / "samples.jsonl"
    deep.parent.mkdir()
    copy.rename(deep)
    assert f"{deep} is not where the records of a base station lie" in analysed(tmp_path, capsys, 2)


def test_a_file_holds_one_base_station(tmp_path: Path, capsys: Capture) -> None:
    write_run(tmp_path, [replace(r, base_station=f"bs-{r.repetition % 2}") for r in all_records(repetitions=3)])
    assert "holds records of bs-0, bs-1: expected those of one base station" in analysed(tmp_path, capsys, 2)


def test_a_renamed_folder_is_told(tmp_path: Path, capsys: Capture) -> None:
    write_run(tmp_path, all_records(repetitions=3), "renamed")
    assert f"note: The records are those of run {RUN}; the folder has another name." in analysed(tmp_path, capsys)


def test_a_run_of_schema_1_is_read_and_what_it_lacks_is_told(tmp_path: Path, capsys: Capture) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    as_schema_1(folder / "raw" / "samples.jsonl")
    output = analysed(tmp_path, capsys)
    assert "note: 20 lines of schema 1, without checksum and plan: a change by hand would not be seen." in output


def test_a_newer_schema_is_called_newer_and_not_damaged(tmp_path: Path, capsys: Capture) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    path = folder / "raw" / "samples.jsonl"
    path.write_text(path.read_text().replace('"schema":5', '"schema":6'))
    error = analysed(tmp_path, capsys, 2)
    assert "line 1: schema 6 is newer than this faasbed, which reads up to schema 5" in error
    assert "damaged" not in error


def test_a_number_changed_by_hand_is_refused_by_file_and_line(tmp_path: Path, capsys: Capture) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    path = folder / "raw" / "samples.jsonl"
    lines = path.read_text().splitlines()
    lines[4] = lines[4].replace('"request_bytes":6300000', '"request_bytes":6300001')
    path.write_text("\n".join(lines) + "\n")
    assert f"{path}, line 5: the line does not fit its checksum: it was changed" in analysed(tmp_path, capsys, 2)


@pytest.mark.parametrize("old", [False, True], ids=["this schema", "schema 1"])
def test_a_repetition_that_lacks_a_request_line_is_named_and_does_not_count(
    tmp_path: Path, capsys: Capture, *, old: bool
) -> None:
    drawn = all_records(repetitions=3)
    lost = next(r for r in drawn if r.repetition == 2 and isinstance(r, records.RequestRecord) and r.request == 1)
    folder = write_run(tmp_path, [r for r in drawn if r is not lost])
    if old:
        as_schema_1(folder / "raw" / "samples.jsonl")
    output = analysed(tmp_path, capsys)
    assert (
        "edge, repetition 2, attempt 1 (not a data point): its records cannot be true: requests 0 are on rec" in output
    )


def test_a_request_that_no_repetition_has_on_record_is_missed_where_one_of_them_chose_it(
    tmp_path: Path, capsys: Capture
) -> None:
    drawn = [r for r in all_records(repetitions=8) if not (isinstance(r, records.RequestRecord) and r.request == 1)]
    folder = write_run(tmp_path, drawn)
    as_schema_1(folder / "raw" / "samples.jsonl")
    output = analysed(tmp_path, capsys)
    assert output.count("its records cannot be true: requests 0 are on record, expected are 2") == 9
    assert "edge: response time (s)" not in output


@pytest.mark.timeout(60)
def test_a_repetition_of_more_requests_than_fit_into_memory_is_refused(tmp_path: Path, capsys: Capture) -> None:
    drawn = all_records(("edge",), repetitions=1)
    write_run(tmp_path, [replace(r, requests=2**53) if isinstance(r, records.ModelRecord) else r for r in drawn])
    assert f"requests 0, 1 are on record, expected are {2**53}" in analysed(tmp_path, capsys, 2)


def test_parameters_may_hold_a_number_of_any_size(tmp_path: Path, capsys: Capture) -> None:
    write_run(tmp_path, [replace(r, parameters={"C": 10**30}) for r in all_records(repetitions=3)])
    assert "edge: response time (s)" in analysed(tmp_path, capsys)


# Lines that were appended by hand to a run of schema 1, as that schema has neither a plan nor a checksum.
END = '"parameters":null,"accuracy_test":0.92,"fit_ms":12.0,"training_texts":9,"test_texts":9,"error":null,"schema":1'


@pytest.mark.parametrize("response_time_ms", [-1.0, 500.0])
def test_a_second_end_of_a_repetition_is_named_and_costs_the_repetition(
    tmp_path: Path, capsys: Capture, response_time_ms: float
) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    path = folder / "raw" / "samples.jsonl"
    as_schema_1(path)
    line = f'{{"run":"{RUN}","scenario":"edge","base_station":"bs","block":1,"repetition":1,"attempt":1,"warmup":false,'
    line += f'"response_time_ms":{response_time_ms},"chosen_request":0,{END},"kind":"model"}}\n'
    path.write_text(path.read_text() + line)
    output = analysed(tmp_path, capsys)
    assert (
        "edge, repetition 1, attempt 1 (not a data point): its records cannot be true: its end is on record" in output
    )


@pytest.mark.parametrize(
    ("chain", "shape"),
    [
        ({"enter_percent": 0, "leave_percent": 0}, "1.25 ms ± 0.25 ms, 0 % loss in bursts"),
        ({"enter_percent": 1, "leave_percent": 3}, "1.25 ms ± 0.25 ms, 25 % loss in bursts"),
    ],
)
def test_a_chain_of_losses_that_is_never_entered_is_read(chain: dict[str, int], shape: str) -> None:
    flat = {
        "source": "bs", "target": "edge-1", "clock": "shared", "probes": 9, "received": 9, "lost": 0,
        "loss_measured_percent": 0, "delay_ms": 1.25, "jitter_ms": 0.25, "loss_percent": 0.02, "reorder": True,
        "ok": True, "gilbert_elliott": chain,
    }  # fmt: skip
    report = {"schema": 1, "taken_at": "2026-11-24", "backend": "emulator", "links": [flat]}
    assert LinkReport.model_validate(report).links[0].link.shape == shape


@pytest.mark.parametrize("delay_ms", [10**400, "fast", None, [1]])
def test_a_delay_of_schema_1_that_is_none_is_refused_and_not_a_traceback(delay_ms: Any) -> None:
    flat = {"source": "a", "target": "b", "delay_ms": delay_ms, "jitter_ms": 1, "loss_percent": 0, "reorder": True}
    report = {"taken_at": "x", "backend": "y", "links": [flat]}
    with pytest.raises(ValidationError):
        LinkReport.model_validate(report)


@pytest.mark.parametrize("target", ["raw", "links", "figures", "analysis", "ansible", "manifest.json", "raw/x"])
def test_a_link_in_a_runs_folder_is_refused_and_nothing_is_written_through_it(
    tmp_path: Path, capsys: Capture, target: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = write_run(tmp_path / "results", all_records(repetitions=3))
    path = folder / target
    if path.exists():
        path.rename(tmp_path / "moved")
    path.symlink_to(elsewhere)
    assert main(["report", "--results", str(tmp_path / "results")]) == 2
    assert "symbolic link: a run's folder holds folders and files only; remove it" in capsys.readouterr().err
    assert list(elsewhere.iterdir()) == []


def test_a_run_that_is_a_link_is_no_run(tmp_path: Path, capsys: Capture) -> None:
    folder = write_run(tmp_path / "elsewhere", all_records(repetitions=3))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / RUN).symlink_to(folder)
    assert "holds no run yet" in analysed(tmp_path / "results", capsys, 2)


@pytest.mark.parametrize(
    "histogram",
    [
        {"edges_ms": [1, 1, 2], "counts": [1, 2]},
        {"edges_ms": [1, 2], "counts": [1, 2]},
        {"edges_ms": [1, 2, 3], "counts": [1, -2]},
        {"edges_ms": [1, 2, 1e300], "counts": [1, 2]},
    ],
    ids=["no width", "too few edges", "negative", "endless"],
)
def test_histograms_that_cannot_be_drawn_are_left_out_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, histogram: dict[str, list[float]]
) -> None:
    monkeypatch.setattr(figures, "FIGURES", (("links", delays.pictures),))
    folder = write_run(tmp_path, all_records(repetitions=3))
    path = folder / "links" / "before.json"
    report = json.loads(path.read_text())
    report["links"][0]["histogram"] = histogram
    path.write_text(json.dumps(report))
    assert main(["report", "--results", str(tmp_path)]) == 0
    assert "links/before.json is damaged and was ignored: links.0.histogram" in (folder / "report.html").read_text()
    assert (folder / "figures" / "links.svg").exists()


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("trouble", ["the last verification", "an earlier one", "the step"])
def test_a_refused_run_stays_refused_however_often_its_report_is_written(
    tmp_path: Path, capsys: Capture, trouble: str
) -> None:
    folder = write_run(tmp_path, all_records(repetitions=6), trouble=trouble != "the step")
    if trouble == "an earlier one":
        (folder / "links" / "after.json").rename(folder / "links" / "after-1.json")
        (folder / "links" / "after.json").write_bytes((folder / "links" / "before.json").read_bytes())
    if trouble == "the step":
        steps = [{"step": "verify links again", "seconds": 1, "status": status} for status in ("ok", "failed")]
        (folder / "steps.json").write_text(json.dumps(steps))
    for command in ("analyse", "report", "report"):
        assert main([command, "--results", str(tmp_path)]) == 4
        assert "Refused: The " in capsys.readouterr().out


@pytest.mark.parametrize(("measured_first", "code"), [(True, 4), (False, 0)])
def test_a_gate_that_refused_links_after_measuring_is_not_forgotten_when_the_run_is_resumed(
    tmp_path: Path, capsys: Capture, measured_first: bool, code: int
) -> None:
    folder = write_run(tmp_path, all_records(repetitions=6), trouble=True)
    (folder / "links" / "after.json").rename(folder / "links" / "before-1.json")
    (folder / "links" / "after.json").write_bytes((folder / "links" / "before.json").read_bytes())
    names = ["measure"] * measured_first + ["verify links", "verify links", "measure", "verify links again"]
    steps = [{"step": name, "seconds": 1, "status": "ok"} for name in names]
    steps[measured_first]["status"] = "failed"
    (folder / "steps.json").write_text(json.dumps(steps))
    assert main(["analyse", "--results", str(tmp_path)]) == code
    assert ("Refused: The verification before measuring" in capsys.readouterr().out) == (code != 0)
