"""The report in a real browser without a network, and what its markup promises to everyone else."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from browser import PROGRAMS, Page, browser
from generated_run import MANIFEST, RUN, all_records, links, model, request, write_run

from collect.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collect.records import Record

# A browser that hangs must not hang the suite.
pytestmark = pytest.mark.timeout(180)
ATTACK = "<script>window.hacked = 1</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with two scenarios, a failure, links with a problem and hostile words in its files."""
    results = tmp_path_factory.mktemp("results")
    failed: list[Record] = [
        request(repetition=99, error=ATTACK),
        model(repetition=99, error="a request failed", response_time_ms=None),
    ]
    folder = write_run(results, [*all_records(), *failed])
    (folder / "manifest.json").write_text(json.dumps({**MANIFEST, "words": ATTACK, ATTACK: {"x": [ATTACK]}}))
    (folder / "scenario.yaml").write_text(f"name: {ATTACK}\n")
    assert main(["report", RUN, "--results", str(results)]) == 0
    return folder / "report.html"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A tab of a real browser; the tests that need it are skipped, and say so, where there is none."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(
            f"no browser on this machine (looked for {', '.join(PROGRAMS)}); on Debian: apt-get install chromium"
        )
    with browser(program) as opened:
        yield opened


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (375, False)])
def test_it_opens_offline_with_all_figures_and_no_complaint(page: Page, report: Path, width: int, dark: bool) -> None:
    page.requests.clear()
    page.complaints.clear()
    page.open(report, width=width, dark=dark)
    assert page.value("document.querySelectorAll('figure svg').length") == 5
    sizes = page.value("[...document.querySelectorAll('figure svg')].map(s => s.getBoundingClientRect().height)")
    assert min(sizes) > 100
    assert [url for url in page.requests if not url.startswith("data:")] == [report.as_uri()]
    assert page.complaints == []
    assert page.value("window.hacked") is None
    assert page.value("document.images.length") == 0


@pytest.mark.parametrize("width", [1280, 768, 375])
def test_no_window_is_too_narrow_for_the_page(page: Page, report: Path, width: int) -> None:
    page.open(report, width=width)
    assert page.value("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_ink_of_the_figures_turns_with_the_page(page: Page, report: Path) -> None:
    inks = []
    for dark in (False, True):
        page.open(report, width=1280, dark=dark)
        inks.append(page.value("getComputedStyle(document.querySelector('#fig5a-text_1 g')).fill"))
    assert inks == ["rgb(31, 35, 40)", "rgb(230, 237, 243)"]


def test_it_prints_with_the_repetitions_unfolded(page: Page, report: Path) -> None:
    page.open(report, width=1280)
    printed = page.print()
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") >= 5


class Markup(HTMLParser):
    """Collects what the markup promises."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tables: list[bool] = []
        self.unscoped: list[str] = []
        self.unnamed_pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.ids.append(values["id"])
        self.links += [values[name] for name in ("href", "xlink:href", "src") if name in values]
        self.links += [f"#{found}" for value in values.values() for found in re.findall(r"url\(#([^)]*)\)", value)]
        if tag == "th" and "scope" not in values:
            self.unscoped.append(str(self.getpos()))
        if tag == "svg" and not (values.get("role") == "img" and values.get("aria-label")):
            self.unnamed_pictures += 1


def test_ids_are_unique_links_stay_inside_and_everything_has_a_name(report: Path) -> None:
    found = Markup()
    found.feed(report.read_text())
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    assert {link for link in found.links if not link.startswith("#")} == {"data:,"}
    assert found.unscoped == []
    assert found.unnamed_pictures == 0


def test_the_answer_the_warnings_the_failure_and_the_problem_of_a_link_are_there(report: Path) -> None:
    text = report.read_text()
    assert "The median response time of edge was 62\N{NO-BREAK SPACE}% lower than that of cloud" in text
    assert text.index("2 cores for 3 compute nodes") < text.index("Fig. 5")
    assert "These numbers are &lt;drawn&gt;, not measured &amp; kept." in text
    assert "a request failed; request 0: &lt;script&gt;" in text
    assert re.search(r'<span class="problem">problem</span><br>jitter', text)
    assert "6th to 15th value, covers 95.9 %" in text


def test_nothing_of_the_runs_files_becomes_markup(report: Path) -> None:
    assert "<script" not in report.read_text()
    assert "<img" not in report.read_text()


def test_one_scenario_is_reported_without_a_comparison(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(("edge",), 3), whole=False)
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    text = (folder / "report.html").read_text()
    assert "one scenario only, so there is no comparison" in text
    assert "no 95 % interval below n = 6; the range covers 75.0 %" in text
    assert "whether they were on their targets is not known" in text
    assert not (folder / "figures" / "ratio.svg").exists()


def test_round_trips_and_links_that_answered_nothing_are_shown_as_such(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    data = links(1)
    data["links"][0].update(clock="round-trip", expected_median_ms=2.55, expected_sigma_ms=0.354)
    silent = dict.fromkeys(("mean_ms", "mean_low_ms", "mean_high_ms", "sigma_ms", "sigma_low_ms", "sigma_high_ms"))
    data["links"][1].update(
        silent, histogram={"edges_ms": [], "counts": []}, received=0, ok=False, problems=["no answer"]
    )
    (folder / "links" / "before.json").write_text(json.dumps(data))
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    text = (folder / "report.html").read_text()
    assert "there and back" in text
    assert "expected 2.55" in text
    assert "no answer" in text


def test_by_how_much_the_gate_was_wider_for_a_coarse_machine_is_told(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    data = links(1)
    data["links"][0].update(late_ms=0.31, widened_ms=0.122, widened_sigma_ms=0.217)
    (folder / "links" / "before.json").write_text(json.dumps(data))
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    text = (folder / "report.html").read_text()
    assert text.count("gate wider") == 2
    assert "gate wider: timers + 0.31,<br>path ± 0.12" in text
    assert "gate wider: ± 0.22" in text


def test_a_links_row_tells_its_power_its_round_trip_what_was_overtaken_and_the_path_that_is_in_it(
    tmp_path: Path,
) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    data = links(1)
    data["links"][0].update(
        loss_noticed_from_percent=0.917, reordered_percent=10, reordered_low_percent=7.2, reordered_high_percent=13.4,
        compensated_ms=0.23, round_trip_mean_ms=2.62, round_trip_low_ms=2.58, round_trip_high_ms=2.66,
    )  # fmt: skip
    (folder / "links" / "before.json").write_text(json.dumps(data))
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    text = (folder / "report.html").read_text()
    for words in (
        "notices 0.92",
        "overtaken 10 %<br>7.20 to 13.4",
        "the path's 0.230 in it",
        "round trip 2.62,<br>2.58 to 2.66",
    ):
        assert words in text.replace("&#39;", "'"), words
