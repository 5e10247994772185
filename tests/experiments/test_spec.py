"""Scenario files: what the shipped ones say, and the sentence for what is wrong in somebody's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from experiments import spec
from experiments.errors import SpecError
from experiments.spec import Experiment, load

if TYPE_CHECKING:
    from pathlib import Path

EDGE = yaml.safe_load((spec.SCENARIOS / "edge.yaml").read_text(encoding="utf-8"))


def edge_with(**changes: Any) -> dict[str, Any]:
    """Return edge.yaml with some keys of its sections replaced: ``data__test_share=0.5``."""
    changed = {key: dict(value) if isinstance(value, dict) else value for key, value in EDGE.items()}
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if section == "links":
            changed["links"] = [{**EDGE["links"][0], key: value}]
        elif key:
            changed[section][key] = value
        else:
            changed[section] = value
    return changed


@pytest.mark.parametrize(
    ("name", "link", "replicas", "groups", "shares"),
    [
        ("edge", (1.25, 0.25, 0.02), 2, ("edge", "compute"), (0.4, 0.4)),
        ("cloud", (15, 3, 0.24), 1, ("cloud", "compute"), (0.8,)),
    ],
)
def test_the_shipped_scenarios_are_the_papers(
    name: str, link: tuple[float, ...], replicas: int, groups: tuple[str, ...], shares: tuple[float, ...]
) -> None:
    experiment = load(name)
    assert experiment.repetitions == 20
    (scenario,) = experiment.scenarios
    (shaped,) = scenario.links
    assert shaped.between == "all"
    assert (shaped.delay_ms, shaped.jitter_ms, shaped.loss_percent) == link
    assert (shaped.rate_mbit, shaped.reorder) == (None, True)
    assert (scenario.function.replicas, scenario.function.nodes, scenario.function.model) == (replicas, groups, "pac")
    assert scenario.requests.parallel == replicas
    assert (scenario.data.test_share, scenario.data.training_shares) == (0.2, shares)


def test_the_papers_experiment_is_both_scenarios_twenty_times() -> None:
    paper = load("paper")
    assert paper.scenarios == load("edge").scenarios + load("cloud").scenarios
    assert (paper.repetitions, paper.warmups) == (20, 1)


def test_the_command_line_has_the_last_word_on_repetitions() -> None:
    assert load("paper", repetitions=3).repetitions == 3


def test_a_path_is_as_good_as_a_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"scenarios": ["cloud", str(spec.SCENARIOS / "edge.yaml")], "repetitions": 2}))
    experiment = load(str(path))
    assert experiment.name == "mine"
    assert [scenario.name for scenario in experiment.scenarios] == ["cloud", "edge"]


@given(
    delay=st.floats(0, 10_000),
    jitter_share=st.floats(0, 0.24),
    loss=st.floats(0, 100),
    rate=st.none() | st.floats(0.001, 1e5),
    between=st.just("all") | st.tuples(st.text(max_size=5), st.text(max_size=5)),
    options=st.fixed_dictionaries(
        {}, optional={"folds": st.integers(2, 10), "seed": st.integers(0, 2**31), "test_size": st.floats(0.1, 0.9)}
    ),
)
def test_what_a_run_writes_down_is_what_it_reads_again(
    tmp_path_factory: pytest.TempPathFactory,
    delay: float,
    jitter_share: float,
    loss: float,
    rate: float | None,
    between: object,
    options: dict[str, Any],
) -> None:
    link = {
        "between": between,
        "delay_ms": delay,
        "jitter_ms": delay * jitter_share,
        "loss_percent": loss,
        "rate_mbit": rate,
    }
    scenario = {**edge_with(function__options=options), "links": [link]}
    del scenario["repetitions"]
    experiment = Experiment.model_validate({"name": "mine", "repetitions": 3, "scenarios": [scenario]})
    path = tmp_path_factory.getbasetemp() / "scenario.yaml"
    path.write_text(yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    assert spec.resolved(path) == experiment


def test_scenarios_are_looked_for_beside_the_file_that_lists_them(tmp_path: Path) -> None:
    (tmp_path / "near.yaml").write_text(yaml.safe_dump({**EDGE, "name": "near"}), encoding="utf-8")
    (tmp_path / "both.yaml").write_text("scenarios: [near.yaml, cloud]\nrepetitions: 2\n", encoding="utf-8")
    assert [scenario.name for scenario in load(str(tmp_path / "both.yaml")).scenarios] == ["near", "cloud"]


def test_a_wrong_scenario_is_blamed_on_its_own_file_not_on_the_one_that_lists_it(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(edge_with(links__delay_ms=-1)), encoding="utf-8")
    listing = tmp_path / "listing.yaml"
    listing.write_text(yaml.safe_dump({"scenarios": [str(wrong)], "repetitions": 1}), encoding="utf-8")
    with pytest.raises(SpecError, match=rf"^{wrong}: links\.0\.delay_ms"):
        load(str(listing))


def test_a_merge_of_yaml_may_be_overridden(tmp_path: Path) -> None:
    text = yaml.safe_dump({key: value for key, value in EDGE.items() if key != "links"})
    links = "links:\n- &near {between: [edge, edge], delay_ms: 1, jitter_ms: 0.1}\n- {<<: *near, between: all, delay_ms: 2}\n"
    (tmp_path / "own.yaml").write_text(links + text, encoding="utf-8")
    near, far = load(str(tmp_path / "own.yaml")).scenarios[0].links
    assert (near.delay_ms, far.delay_ms, far.jitter_ms, far.between) == (1, 2, 0.1, "all")


def test_duplicates_are_left_out_for_all_scenarios_of_a_run_or_for_none(tmp_path: Path) -> None:
    assert not load("paper").deduplicate
    own = {**edge_with(), "deduplicate": True}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    assert load(str(tmp_path / "own.yaml")).deduplicate
    both = tmp_path / "both.yaml"
    listing = {"scenarios": ["own.yaml"], "repetitions": 2}
    both.write_text(yaml.safe_dump({**listing, "deduplicate": True}), encoding="utf-8")
    experiment = load(str(both))
    assert experiment.deduplicate
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(experiment.model_dump(mode="json")), encoding="utf-8")
    assert spec.resolved(tmp_path / "scenario.yaml") == experiment
    both.write_text(yaml.safe_dump(listing), encoding="utf-8")
    with pytest.raises(SpecError, match=r"own.yaml: deduplicate: the scenarios of a run share its .*both.yaml, too"):
        load(str(both))


def test_what_a_file_expects_is_about_its_own_scenarios(tmp_path: Path) -> None:
    listing = {"scenarios": ["edge", "cloud"], "repetitions": 6}
    path = tmp_path / "own.yaml"

    def expecting(content: dict[str, Any], **expect: Any) -> None:
        path.write_text(yaml.safe_dump({**content, "expect": expect}), encoding="utf-8")

    expecting(listing, max_time_ratio={"edge": 0.9}, claims={"edge": ["same-accuracy"]})
    assert load(str(path)).expect.max_time_ratio == {"edge": 0.9}
    expecting(listing, min_accuracy={"fog": 0.9})
    with pytest.raises(SpecError, match=r"own.yaml: expect: fog is not a scenario of this file \(cloud, edge\)"):
        load(str(path))
    expecting(listing, claims={"edge": ["faster-than-light"]})
    with pytest.raises(SpecError, match=r"own.yaml: expect.claims.edge.0: "):
        load(str(path))
    expecting(edge_with(), max_time_ratio={"edge": 0.9})
    with pytest.raises(SpecError, match="expect: edge is the only scenario, so there is nothing to compare it with"):
        load(str(path))


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        ({"min_quality": {"own": {"acuracy": 0.9}}}, "expect.min_quality.own: unknown measure 'acuracy'; did you mean accuracy?"),
        ({"max_quality": {"own": {"loss": 1}}}, "expect.max_quality.own: unknown measure 'loss'; expected one of accuracy, calls"),
        ({"min_quality": {"plain": {"accuracy": 1}}}, "unknown measure 'accuracy'; its workload reads none from the replies"),
        ({"min_quality": {"edge": {"accuracy": 1}}}, "unknown measure 'accuracy'; did you mean test accuracy?"),
        ({"min_quality": {"fog": {"accuracy": 1}}}, "expect: fog is not a scenario of this file"),
        ({"min_quality": {"own": {"accuracy": "high"}}}, "expect.min_quality.own.accuracy: Input should be a valid number"),
        ({"min_quality": {"own": {"accuracy": float("nan")}}}, "expect.min_quality.own.accuracy: Input should be a finite number"),
        ({"min_quality": {"own": 0.9}}, "expect.min_quality.own: expected a mapping of keys"),
        ({"min_accuracy": {"own": 0.9}}, "expect.min_accuracy.own: its workload trains no model on the base station"),
    ],
)  # fmt: skip
def test_a_threshold_on_a_measure_that_no_reply_has_is_refused(
    expect: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    measures = {name: {"path": f"$.{name}", "better": "higher"} for name in ("accuracy", "calls")}
    scenarios = [
        {"extends": "edge"},
        {"extends": "edge", "name": "own", "function": {"model": None}, "workload": {"name": "http", "reply": {"measures": measures}}},
        {"extends": "edge", "name": "plain", "function": {"model": None}, "workload": "http"},
    ]  # fmt: skip
    path = tmp_path / "three.yaml"

    def expecting(expect: dict[str, Any]) -> Experiment:
        path.write_text(yaml.safe_dump({"scenarios": scenarios, "repetitions": 6, "expect": expect}), encoding="utf-8")
        return load(str(path))

    limits = {"own": {"accuracy": 0.9}, "edge": {"test accuracy": 0.8}}
    assert expecting({"min_quality": limits}).expect.min_quality == limits
    with pytest.raises(SpecError, match=re.escape(sentence)):
        expecting(expect)
