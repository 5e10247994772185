"""Workloads: what is sent, what is read, what follows; any function on HTTP is measured like the paper's."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from driven import TEXTS, counted, drawn, loaded, measured, reported
from loopback import NODES, Reply, Request, answer, function
from msgspec.structs import replace
from trial_nodes import aimed

from collect import records
from experiments import spec, workloads
from experiments.base_station import driver
from experiments.base_station.check import spread
from experiments.base_station.driver import Driver
from experiments.base_station.errors import DriverError
from experiments.errors import SpecError
from experiments.workloads.data import Dataset
from experiments.workloads.workload import ReplyError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def silent(number: int, request: Request) -> Reply:
    """Reply as a function of somebody else's, which does not say who it is."""
    return Reply(b"counted", headers={})


def test_any_function_on_http_is_measured_and_nothing_follows_on_the_base_station(tmp_path: Path) -> None:
    requests, models, received = measured(tmp_path, loaded(tmp_path), counted)
    assert [(model.repetition, model.warmup) for model in models] == [(0, True), (0, False), (1, False), (2, False)]
    for model in models:
        assert (model.error, model.accuracy_test, model.fit_ms, model.chosen_request) == (None, None, None, None)
        assert model.response_time_ms is not None
    assert {(request.status, request.error, request.texts) for request in requests} == {(200, None, 16)}
    assert {request.node for request in requests} == set(NODES)
    assert {frozenset(request.order) for request in received} == {frozenset(["texts"])}
    both = received[0].order["texts"] + received[1].order["texts"]
    assert len(set(both)) == 32, "each request has its own share"
    assert set(both) < set(TEXTS.x)


def test_a_function_that_does_not_name_its_replica_is_measured_too(tmp_path: Path) -> None:
    body = '{"texts": ["one two two"]}'
    requests, models, received = measured(tmp_path, loaded(tmp_path, workload={"name": "http", "body": body}), silent)
    assert [model.error for model in models] == [None] * 4
    assert {(request.replica, request.node, request.cold) for request in requests} == {(None, None, False)}
    assert {request.request_bytes for request in requests} == {len(body)}
    assert received[0].order == json.loads(body)


def test_a_status_that_is_not_200_is_a_failed_repetition(tmp_path: Path) -> None:
    _, models, _ = measured(tmp_path, loaded(tmp_path), lambda *_: Reply(b"no text has a word", 422))
    assert {model.chosen_request for model in models} == {None}
    assert all("answered 422: no text has a word" in str(model.error) for model in models)


def test_what_was_measured_without_accuracy_is_reported(tmp_path: Path) -> None:
    run = tmp_path / "trial"
    run.mkdir()
    experiment = loaded(tmp_path)
    measured(run, experiment, counted)
    printed, page = reported(run, experiment)
    assert "words" in printed
    assert "accuracy" not in printed
    assert "Fig. 5a" in page
    assert "reads no quality of the replies and trains no final model, so there is no Fig. 5b." in page


def test_the_check_names_the_replicas_that_answered(tmp_path: Path) -> None:
    experiment = loaded(tmp_path)
    with function(counted) as served:
        assert spread(drawn(experiment, served.url), "bs", TEXTS) == {
            "words": {"words-edge-1": "edge-1", "words-edge-2": "edge-2"}
        }
    with function(silent) as served:
        assert spread(drawn(experiment, served.url), "bs", TEXTS) == {"words": {}}


def test_the_check_of_short_requests_gives_a_second_replica_the_chance_to_answer(tmp_path: Path) -> None:
    with function(lambda number, request: counted(number // 2, request)) as served:
        assert len(spread(drawn(loaded(tmp_path), served.url), "bs", TEXTS)["words"]) == 2
        assert len(served.requests) == 4


def test_the_check_refuses_a_replica_that_is_alone_or_in_the_wrong_place(tmp_path: Path) -> None:
    with function(lambda _, request: counted(0, request)) as served:
        plan = drawn(loaded(tmp_path), served.url)
        with pytest.raises(DriverError, match=r"2 parallel requests were served by replicas on edge-1; expected one"):
            spread(plan, "bs", TEXTS)
    training = drawn(loaded(tmp_path, workload="training"), "")
    with function(lambda number, request: answer(2 * number, request)) as served:
        plan = aimed(training, served.url)
        with pytest.raises(DriverError, match="were served by replicas on edge-1"):
            spread(plan, "bs", TEXTS)
        assert len(served.requests) == 2, "training requests last long enough: one round tells"


def test_a_body_from_a_file_is_kept_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text('{"texts": ["one"]}', encoding="utf-8")
    experiment = loaded(tmp_path, workload={"name": "http", "body_file": "order.json"})
    assert experiment.scenarios[0].settings == {"body": '{"texts": ["one"]}'}
    with pytest.raises(
        SpecError, match=r"words.yaml: workload.body_file: .*gone.json cannot be read: it is not a file"
    ):
        loaded(tmp_path, workload={"name": "http", "body_file": "gone.json"})


def test_a_run_resumes_with_the_workload_it_began_with(tmp_path: Path) -> None:
    experiment = loaded(tmp_path, workload={"name": "http", "body": "{}"})
    path = tmp_path / "scenario.yaml"
    path.write_text(yaml.safe_dump(experiment.model_dump(mode="json")), encoding="utf-8")
    assert spec.resolved(path) == experiment


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"workload": "htpt"}, "workload: unknown workload 'htpt'; expected one of training, http"),
        ({"workload": {"name": "http", "bdy": "{}"}}, "workload.bdy: the workload http has no such setting"),
        ({"workload": {"name": "http", "share": ["text"]}}, "workload: Invalid enum value 'text'"),
        (
            {"function": {"nodes": ["edge"], "replicas": 2, "model": "pac"}},
            "function.model: the workload http has no such setting; it has body, bodies, generator, share",
        ),
        (
            {"workload": "training", "function": {"nodes": ["edge"], "replicas": 2, "model": "svm"}},
            "function.model: unknown model 'svm': expected one of pac, log, ",
        ),
        (
            {"workload": "training", "function": {"nodes": ["edge"], "replicas": 2, "options": {"gird": {"C": [1]}}}},
            "function.options: unknown option 'gird' of the model pac: expected one of folds, ",
        ),
        (
            {"workload": "training", "function": {"nodes": ["edge"], "replicas": 2, "options": {"folds": 1}}},
            "function.options: invalid option of the model pac: folds: expected `int` >= 2",
        ),
        (
            {"workload": "training", "function": {"nodes": ["edge"], "replicas": 2, "options": {"grid": {"D": [1]}}}},
            "function.options: ",
        ),
    ],
)
def test_a_workload_that_is_not_there_or_lacks_a_setting_is_refused_with_file_and_key(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SpecError) as caught:
        loaded(tmp_path, **changes)
    assert str(caught.value).startswith(f"{tmp_path / 'words.yaml'}: {sentence}")


def test_shares_that_a_scenario_does_not_name_are_equal(tmp_path: Path) -> None:
    data = loaded(tmp_path).scenarios[0].data
    assert (data.test_share, data.training_shares) == (0.2, (0.4, 0.4))


def test_the_trainings_probe_is_a_search_of_both_labels_and_never_of_the_slow_engine() -> None:
    training = workloads.make("training", {"options": {"engine": "plain", "folds": 3}}, TEXTS)
    probe = json.loads(training.probe())
    assert set(probe["y_dict"].values()) == {"FAKE", "REAL"}
    assert (probe["model"], probe["engine"], probe["folds"]) == ("pac", "fast", 3)


@pytest.mark.parametrize("body", [b"", b"[]", b"hello", b'{"words": 1}'])
def test_a_reply_that_is_not_the_functions_is_no_data_point(body: bytes) -> None:
    with pytest.raises(ReplyError, match="no best parameters"):
        workloads.make("training", {}, TEXTS).reply(body)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accuracy (validation)": "0.9"}, "Expected float | null, got str"),
        ({"accuracy (validation)": 7}, "Expected float <= 1.0"),
        ({"accuracy (test)": -0.1}, "Expected float >= 0.0"),
        ({"replica": 7}, "Expected str | null, got int"),
        ({"node": ["edge-1"]}, "Expected str | null, got array"),
        ({"replica": "x" * 300}, "Expected str of length <= 256"),
        ({"best parameters": [1]}, "Expected object, got array"),
        ({"best parameters": {"C": {"a": 1}}}, "got object"),
    ],
)
def test_a_reply_with_a_value_of_another_kind_is_refused_by_its_key(changes: dict[str, Any], message: str) -> None:
    whole = {"best parameters": {"C": 1.0}, "accuracy (validation)": 0.9, "replica": "a", "node": "edge-1"}
    training = workloads.make("training", {}, TEXTS)
    assert training.reply(json.dumps(whole).encode()).accuracy_validation == 0.9
    with pytest.raises(ReplyError) as caught:
        training.reply(json.dumps(whole | changes).encode())
    assert message in str(caught.value)
    assert f"$.{next(iter(changes))}" in str(caught.value)


def trained(number: int, request: Request) -> Reply:
    """Reply with parameters that the base station can train with."""
    point = {"C": 1.0, "fit_intercept": True, "loss": "hinge"}
    return Reply(json.dumps({**json.loads(answer(number, request).body), "best parameters": point}).encode())


@pytest.mark.parametrize("node", [0, 1], ids=["one replica", "another node"])
def test_requests_that_were_not_served_as_planned_are_a_failed_repetition(tmp_path: Path, node: int) -> None:
    def respond(number: int, request: Request) -> Reply:
        reply = trained(number, request)
        if number not in (2, 3, 4, 5):  # a repetition, and what is sent to see whether that has ended
            return reply
        where = {"replica": "replica-on-edge-1", "node": "edge-1"} if node == 0 else {"node": f"edge-{number}"}
        return Reply(json.dumps({**json.loads(reply.body), **where}).encode())

    requests, models, served = measured(tmp_path, loaded(tmp_path, workload="training"), respond)
    assert len(served) == len(requests) + 4, "the spread is checked until it is as planned"
    assert [model.error is None for model in models] == [True, False, True, True]
    assert "planned were one each on edge-1, edge-2" in str(models[1].error)
    if node == 0:
        assert "2 requests were served by 1 replica (replica-on-edge-1 on edge-1)" in str(models[1].error)


def test_without_a_time_out_a_request_may_take_some_times_as_long_as_a_warm_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LEAST_S", 0.5)
    goes_on = threading.Event()

    def respond(number: int, request: Request) -> Reply:
        if number in (2, 3):  # the repetition after the warm-up
            assert goes_on.wait(60)
        goes_on.set() if number > 3 else None
        return counted(number, request)

    scenario = loaded(tmp_path, warmups=1, repetitions=2)
    _, (warmup, late, good), _ = measured(tmp_path, scenario, respond)
    assert warmup.error is good.error is None
    assert str(late.error).endswith("did not answer in time (0.5 s)")


@pytest.mark.parametrize(
    ("took_s", "set_s", "expected_s"),
    [([], None, 600), ([9, 5], None, 60), ([30, 50], None, 150), ([500], None, 600), ([30], 5, 5)],
)
def test_time_outs_follow_the_longest_warm_up_within_bounds(
    tmp_path: Path, took_s: list[int], set_s: float | None, expected_s: float
) -> None:
    requests = {"parallel": 2} | ({"timeout_s": set_s} if set_s else {})
    scenario = loaded(tmp_path, warmups=1, repetitions=1, requests=requests)
    (warm, *_), _, _ = measured(tmp_path, scenario, counted)
    taken = [replace(warm, request=number, sent_ns=1, last_byte_ns=1 + s * 10**9) for number, s in enumerate(took_s)]
    plan = drawn(scenario, "http://192.0.2.11:31080/")
    records.append(tmp_path / "others.jsonl", [replace(one, plan=plan.hash) for one in taken])
    one = Driver(plan, tmp_path / "dataset.json", tmp_path / "others.jsonl", "bs")
    assert [one._timeout_s(entry) for entry in plan.order] == [set_s or 600, expected_s]


def test_bodies_are_utf_8_and_not_escaped() -> None:
    words = Dataset(x=["\u043b\u0443\u043d\u0430"] * 4, y=["a", "b"] * 2)
    for name in ("training", "http"):
        body = workloads.make(name, {}, words).body([0, 1])
        assert "\u043b\u0443\u043d\u0430".encode() in body
        assert b"\\u04" not in body


def test_settings_of_another_type_are_a_sentence() -> None:
    with pytest.raises(SettingsError, match=r"workload: Expected `str . null`, got `int` - at"):
        workloads.check("http", {"body": 1})
