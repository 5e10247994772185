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


def refusal(path: Path, content: object) -> str:
    """Return the sentence that refuses a file, after the checks that every such sentence has to pass."""
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load(str(path))
    lines = str(caught.value).splitlines()
    assert 1 <= len(lines) <= 2
    assert all(line.startswith(f"{path}: ") for line in lines)
    return str(caught.value).replace(f"{path}: ", "")


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


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"links__loss_precent": 1}, "links.0.loss_precent: unknown key; check its spelling"),
        ({"repetition": 1}, "repetition: unknown key; check its spelling"),
        (
            {"links__jitter_ms": 0.5},
            r"links.0: jitter_ms is 0.5, too large for a normal distribution at this delay_ms \(1.25\).*at most 0.3125",
        ),
        ({"links__loss_percent": -1}, "links.0.loss_percent: .*greater than or equal to 0"),
        ({"links__loss_percent": 100.1}, "links.0.loss_percent: .*less than or equal to 100"),
        ({"links__delay_ms": float("nan")}, "links.0.delay_ms: .*finite number"),
        ({"links__rate_mbit": float("inf")}, "links.0.rate_mbit: .*finite number"),
        ({"links__between": "edge"}, r"links.0.between: 'edge' is neither all nor two groups, such as \[base_stations"),
        ({"links__between": ["edge"]}, r"links.0.between: \['edge'\] is neither all nor two groups"),
        ({"data__training_shares": [0.5, 0.5]}, "data: test_share and training_shares sum to 1.2: .*1 at most"),
        ({"data__training_shares": [0.8]}, "1 training_shares for 2 parallel requests: each request trains on one"),
        ({"requests__parallel": 3}, "2 training_shares for 3 parallel requests"),
        (
            {"transport__congestion_control": "cubic; reboot"},
            "transport.congestion_control: invalid name 'cubic; reboot'",
        ),
        ({"name": "../edge"}, "name: invalid name '../edge': expected a few lower-case letters"),
        (
            {"function__module": "app.word count"},
            "function.module: invalid module 'app.word count': expected the name of",
        ),
        ({"function__replicas": 0}, "function.replicas: .*greater than or equal to 1"),
        ({"repetitions": 0}, "repetitions: .*greater than or equal to 1"),
    ],
)
def test_a_wrong_value_is_a_sentence_with_the_key(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    assert re.match(sentence, refusal(tmp_path / "mine.yaml", edge_with(**changes)))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("name: [edge", "not YAML: .*line 1"),
        ("- edge\n- cloud\n", "a scenario is a mapping of keys such as links and function; compare edge.yaml"),
        ("", "a scenario is a mapping"),
        ("scenarios: edge", r"scenarios: must be a list of scenario names, such as \[edge, cloud\]"),
        ("scenarios: [edge]\nrepetitions: 1\nlinks: []\non: 1\n", "True: not a key of a file that lists scenarios"),
        ("scenarios: [edge, cloud, edge]\nrepetitions: 1", "two scenarios have the name edge: records tell .* apart"),
        ("scenarios: [edge]\nrepetitions: 1\nname: ../../etc", "name: invalid name '../../etc'"),
        ("scenarios: [edge]", "repetitions: Field required"),
    ],
)
def test_a_file_that_is_no_scenario_is_a_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    assert re.match(sentence, refusal(tmp_path / "mine.yaml", content))


def test_bytes_that_are_no_text_are_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(SpecError, match=r"mine\.yaml: not YAML"):
        load(str(path))


@pytest.mark.parametrize("name", ["egde", "../edge", "/nowhere/mine.yaml"])
def test_a_name_that_nobody_has_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(SpecError, match=r"does not exist; expected cloud, cold, edge, paper, or a \.yaml"):
        load(name)


def test_a_wrong_scenario_is_blamed_on_its_own_file_not_on_the_one_that_lists_it(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(edge_with(links__delay_ms=-1)), encoding="utf-8")
    listing = tmp_path / "listing.yaml"
    listing.write_text(yaml.safe_dump({"scenarios": [str(wrong)], "repetitions": 1}), encoding="utf-8")
    with pytest.raises(SpecError, match=rf"^{wrong}: links\.0\.delay_ms"):
        load(str(listing))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("name: edge\ntitle: a\nname: cloud\n", "name: stands twice in one mapping, again on line 3; keep one of them"),
        ("links:\n- {delay_ms: 1, delay_ms: 2}\n", "delay_ms: stands twice in one mapping, again on line 2"),
    ],
)
def test_a_key_that_stands_twice_is_refused_by_its_name(tmp_path: Path, content: str, sentence: str) -> None:
    assert refusal(tmp_path / "own.yaml", content).startswith(sentence)


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
