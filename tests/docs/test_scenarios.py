"""The documentation of scenario files is that of the models which read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from docs import marks, scenarios
from experiments.spec import load
from experiments.workloads import WORKLOADS

if TYPE_CHECKING:
    from pathlib import Path


def test_the_tables_of_keys_are_those_of_the_models() -> None:
    assert scenarios.main(["--check"]) == 0, "run python -m docs.scenarios"


def test_an_outdated_table_is_reported_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "scenarios.md"
    page.write_text("before\n<!-- keys -->\nan old table\n<!-- end of keys -->\nafter\n")
    monkeypatch.setattr(scenarios, "PAGE", page)
    assert scenarios.main(["--check"]) == 1
    assert "outdated: run python -m docs.scenarios" in capsys.readouterr().out
    assert scenarios.main([]) == 0
    assert scenarios.main(["--check"]) == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "an old table" not in text


def test_every_link_within_the_page_leads_to_a_heading() -> None:
    page = scenarios.PAGE.read_text("utf-8")
    headings = {
        re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall("^## (.*)$", page, flags=re.MULTILINE)
    }
    targets = set(re.findall(r"\]\(#([^)]*)\)", page))
    assert targets
    assert targets <= headings


def test_every_workload_has_its_settings_on_the_page() -> None:
    page = scenarios.PAGE.read_text("utf-8")
    assert all(f"## workload: {name}\n" in page for name in WORKLOADS)


def test_the_smallest_scenario_on_the_page_is_a_scenario(tmp_path: Path) -> None:
    text, *_ = re.findall(r"```yaml\n(.*?)```", scenarios.PAGE.read_text("utf-8"), flags=re.DOTALL)
    file = tmp_path / "near.yaml"
    file.write_text(text)
    assert load(str(file)).repetitions == yaml.safe_load(text)["repetitions"]


def test_a_document_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the marks <!-- keys -->"):
        marks.replaced("no marks here", "keys", "a table")
