"""Bodies of somebody's own function: files, folders, generators; and what of its replies is recorded and reported."""

from __future__ import annotations

import json
from statistics import fmean
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from driven import counted, drawn, loaded, measured, reported
from loopback import Reply, Request

from app import digits
from app.errors import Cancelled, InputError
from experiments import workloads
from experiments.errors import SpecError
from experiments.workloads.data import Dataset
from experiments.workloads.http import Http, Settings
from experiments.workloads.workload import Draw, ReplyError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

MEASURES = {"score": {"path": "$.score", "unit": "points", "better": "higher"}}
SCORED = {"name": "http", "body": "{}", "reply": {"measures": MEASURES}}


def http(**settings: Any) -> Http:
    return Http(msgspec.convert(settings, Settings), Dataset([], []))


def scored(number: int, request: Request) -> Reply:
    """Reply as a function does that says how good its answer is."""
    reply = json.loads(counted(number, request).body)
    return Reply(json.dumps({**reply, "score": 10 + number % 2}).encode())


def test_the_files_of_a_folder_are_sent_in_drawn_order_which_pairs_share(tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.json").write_text(json.dumps({"order": number}), encoding="utf-8")
    (folder / ".hidden").write_text("no", encoding="utf-8")
    experiment = loaded(tmp_path, workload={"name": "http", "body_folder": "orders"}, repetitions=12)
    _, _, received = measured(tmp_path, experiment, counted)
    pairs = [(one.order["order"], two.order["order"]) for one, two in zip(received[::2], received[1::2], strict=True)]
    assert all(one != two for one, two in pairs), "the requests of a repetition take the files in turn"
    assert len({frozenset(pair) for pair in pairs}) > 3, "each repetition draws the order again"
    again = http(**experiment.scenarios[0].settings)
    orders = {seed: [again.body([], draw=Draw(seed, turn)) for turn in range(6)] for seed in "abab"}
    assert len(set(orders["a"])) == len(set(orders["b"])) == 6
    assert orders["a"] != orders["b"]


def test_a_binary_file_is_sent_as_it_is_with_its_type(tmp_path: Path) -> None:
    content = b"\x89PNG\r\n\x1a\n\x00\xff"
    (tmp_path / "cat.png").write_bytes(content)
    scenario = loaded(tmp_path, workload={"name": "http", "body_file": "cat.png"}).scenarios[0]
    workload = http(**scenario.settings)
    assert (workload.body([]), workload.content_type) == (content, "image/png")


@pytest.mark.parametrize(
    ("files", "settings", "sentence"),
    [
        ({}, {"body_folder": "bodies"}, "workload.body_folder: FOLDER has no files; put the bodies of the requests"),
        (None, {"body_folder": "bodies"}, "workload.body_folder: FOLDER cannot be read: it is not a folder"),
        (
            {"a.png": b"\xff", "b.json": b"{}"},
            {"body_folder": "bodies"},
            "workload.content_type: needed: the bodies are of several types (application/json, image/png)",
        ),
        ({"a": b"x" * (9 << 20)}, {"body_folder": "bodies"}, "the files of FOLDER have more than 8 MiB together"),
        ({"a": b"x"}, {"body_folder": "bodies", "body": "x"}, "workload.body_folder: body is set too; keep one of"),
        (None, {"generator": {"name": "digit"}}, "workload.generator: unknown generator 'digit'; expected one of ran"),
        (None, {"generator": {"name": "digits"}}, "workload: Object missing required field `images`"),
        (
            None,
            {"generator": {"name": "random-bytes", "size_bytes": 1 << 26, "bodies": 9}},
            "workload.generator.bodies: 9 bodies of 67108864 bytes are more than 256 MiB",
        ),
        (
            None,
            {"kinds": {"a": {"generator": {"name": "random-bytes", "size_bytes": 9}}, "b": {"body": "{}"}}},
            "workload.content_type: needed: the bodies are of several types (application/json, application/octet-str",
        ),
        (None, {"content_type": "png"}, "workload.content_type: invalid type 'png': expected a media type"),
        (None, {"bodies": ["%"]}, "workload: Invalid base64 encoded string"),
        (None, {"reply": {"status": [404]}}, "workload: Expected `int` <= 299"),
        (
            None,
            {"reply": {"measures": {"score": {"path": "score", "better": "higher"}}}},
            "workload.reply.measures.score.path: invalid path 'score': expected a JSONPath to one value",
        ),
        (None, {"reply": {"measures": {"score": {"path": "$.a", "better": "more"}}}}, "workload: Invalid enum value"),
        (
            None,
            {"reply": {"measures": {"<b>": {"path": "$.a", "better": "lower"}}}},
            "workload.reply.measures: invalid name '<b>'",
        ),
        (
            None,
            {"reply": {"measures": {"test accuracy": {"path": "$.a", "better": "higher"}}}},
            "workload.reply.measures.test accuracy: the accuracy of the workload training's final model has this name",
        ),
        (
            None,
            {"reply": {"measures": {"a": {"path": "$.a", "better": "lower", "unit": "\x1b[2J"}}}},
            "workload.reply.measures.a.unit: invalid unit",
        ),
        (
            None,
            {"body": "{}", "kinds": {"a": {"body": "1"}}},
            "workload.body: kinds are set too, which have bodies of their own; keep one of them",
        ),
    ],
)
def test_bodies_and_measures_that_cannot_be_are_refused_with_file_and_key(
    tmp_path: Path, files: dict[str, bytes] | None, settings: dict[str, Any], sentence: str
) -> None:
    folder = tmp_path / "bodies"
    if files is not None:
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
    with pytest.raises(SpecError) as caught:
        loaded(tmp_path, workload={"name": "http", **settings})
    assert sentence.replace("FOLDER", str(folder)) in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "words.yaml"))


def test_random_bytes_are_the_seeds_and_cannot_be_made_smaller() -> None:
    workload = http(generator={"name": "random-bytes", "size_bytes": 1000, "bodies": 3})
    assert workload.content_type == "application/octet-stream"
    bodies = [workload.body([], draw=Draw("seed", turn)) for turn in range(6)]
    assert bodies[:3] == bodies[3:]
    assert len(set(bodies)) == 3
    assert {len(body) for body in bodies} == {1000}
    assert bodies[0] != workload.body([], draw=Draw("other seed", 0))


def test_the_digits_of_a_repetition_are_tested_alike_and_trained_apart() -> None:
    halves, whole = (
        http(generator={"name": "digits", "images": 700}),
        http(generator={"name": "digits", "images": 1400}),
    )
    one, two = (json.loads(halves.body([], draw=Draw("seed", turn))) for turn in range(2))
    both = json.loads(whole.body([], draw=Draw("seed", 0)))
    assert one["test"] == two["test"] == both["test"]
    assert one["train"]["images"] + two["train"]["images"] == both["train"]["images"]
    assert len(one["test"]["labels"]) == 360


def test_digits_are_classified_and_scored() -> None:
    body = http(generator={"name": "digits", "images": 200}).body([], draw=Draw("seed", 0))
    outcome = digits.run(workload_request(body))
    accuracy: Any = outcome.reply["accuracy"]
    assert 0.85 < accuracy < 1
    assert outcome.reply["images"] == 200
    assert list(outcome.phases_ms) == ["prepare", "search", "fit", "score"]
    with pytest.raises(Cancelled):
        digits.run(workload_request(body), lambda: True)


def workload_request(body: bytes) -> digits.Request:
    return msgspec.json.decode(body, type=digits.Request)


@pytest.mark.parametrize(
    ("labels", "message"), [([1, 1, 1, 2], "Each digit needs 3 images"), ([1, 1, 1], "4 images and 3 labels")]
)
def test_digits_that_cannot_be_learned_from_are_refused(labels: list[int], message: str) -> None:
    part = digits.Labelled([[0] * 64] * 4, labels)
    with pytest.raises(InputError, match=message):
        digits.run(digits.Request(part, part))


@pytest.mark.parametrize(
    ("path", "body", "value"),
    [
        ("$.score", b'{"score": 3}', 3),
        ("$['top 5'][1]", b'{"top 5": [1, 2.5]}', 2.5),
        ("$[-1].a-b", b'[1, {"a-b": -1e3}]', -1000),
        ("$.score", b'{"score": true}', None),
        ("$.score", b'{"score": "3"}', None),
        ("$.score", b'{"score": null}', None),
        ("$.score", b'{"score": [3]}', None),
        ("$.score[0]", b'{"score": []}', None),
        ("$.score", b"[3]", None),
        ("$[0]", b'{"0": 3}', None),
        ("$.score", b"3", None),
        ("$.score", b"\xff", None),
        ("$.score", b'{"score": 1e999}', None),
        ("$.score", b"[" * 100_000, None),
    ],
)
def test_a_value_is_read_at_its_path_or_the_reply_is_none(path: str, body: bytes, value: float | None) -> None:
    workload = http(body="{}", reply={"measures": {"score": {"path": path, "better": "higher"}}})
    if value is None:
        with pytest.raises(ReplyError, match=r"^unexpected reply: .*score"):
            workload.reply(body)
    else:
        assert workload.reply(body).qualities == {"score": value}


def test_what_a_function_says_of_its_replies_is_on_record_and_reported(tmp_path: Path) -> None:
    run = tmp_path / "trial"
    run.mkdir()
    experiment = loaded(tmp_path, workload=SCORED, repetitions=8)
    requests, models, _ = measured(run, experiment, scored)
    assert {request.texts for request in requests} == {0}, "their bodies hold none of the data set's"
    for model in models:
        own = [one for one in requests if (one.repetition, one.warmup) == (model.repetition, model.warmup)]
        (quality,) = model.qualities
        assert (quality.measure, quality.unit, quality.better) == ("score", "points", "higher")
        assert quality.value == fmean(one.qualities["score"] for one in own) == 10.5
    printed, page = reported(run, experiment)
    assert ", its median score 10.5 (8 repetitions)" in printed
    assert "Fig. 5: response time and score" in page
    assert "Box plots of the score. words: median 10.5." in page
    assert "higher is better" in page
    numbers = page[: page.index("scenario.yaml, as resolved")]
    assert "accuracy" not in numbers, "what is not an accuracy is not called one"


def test_a_reply_without_the_value_fails_its_repetition_with_its_words(tmp_path: Path) -> None:
    requests, models, _ = measured(tmp_path, loaded(tmp_path, workload=SCORED), counted)
    assert {request.qualities == {} for request in requests} == {True}
    assert all("unexpected reply: no score at $.score; it answered: {" in str(model.error) for model in models)


def test_a_status_that_is_expected_is_a_success(tmp_path: Path) -> None:
    workload = {"name": "http", "body": "{}", "reply": {"status": [201, 204]}}
    requests, models, _ = measured(tmp_path, loaded(tmp_path, workload=workload), lambda *_: Reply(b"", 201))
    assert {(one.status, one.error) for one in requests} == {(201, None)}
    assert [model.error for model in models] == [None] * 4
    other = tmp_path / "other"
    other.mkdir()
    _, models, _ = measured(other, loaded(tmp_path, workload=workload), lambda *_: Reply(b"made", 200))
    assert all("answered 200: made" in str(model.error) for model in models)


def test_settings_that_a_plan_holds_are_read_again(tmp_path: Path) -> None:
    experiment = loaded(tmp_path, workload={**SCORED, "content_type": "text/plain"})
    settings = drawn(experiment, "http://192.0.2.1/").scenarios["words"].settings
    assert workloads.make("http", settings, Dataset([], [])).content_type == "text/plain"
    with pytest.raises(SettingsError, match="unknown field `pth`"):
        workloads.check("http", {"reply": {"measures": {"score": {"pth": "$.a", "better": "higher"}}}})
