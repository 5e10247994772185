"""The report in a real browser without a network, and what its markup promises to everyone else."""

from __future__ import annotations

import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from browser import PROGRAMS, Page, browser
from generated_run import MANIFEST, MS, RUN, all_records, arrived, links, model, request, write_run
from msgspec.structs import replace

from collect.__main__ import main
from collect.records import ModelRecord, RequestRecord
from collect.report import figures, table
from collect.report import page as render
from collect.report.figures import Section
from collect.report.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collect.records import Record
    from collect.report.figures import Figure

# A browser that hangs must not hang the suite.
pytestmark = [pytest.mark.timeout(180), pytest.mark.once]
ATTACK = "<script>window.hacked = 1</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with three scenarios, one of them with arrivals, a failure, links with a problem and hostile words in its files."""
    results = tmp_path_factory.mktemp("results")
    failed: list[Record] = [
        request(repetition=99, error=ATTACK),
        model(repetition=99, error="a request failed", response_time_ms=None),
    ]
    polled = [
        one for number in range(1, 21) for one in arrived("polled", number, [30.0 + number + i % 7 for i in range(120)])
    ]
    folder = write_run(results, [*all_records(), *failed, *polled], trouble=True)
    dataset = {"name": "synthetic", "notes": ["Empty texts: 2 of 40 (5.0 %).", ATTACK, 7]}
    manifest = {**MANIFEST, "dataset": dataset, "words": ATTACK, ATTACK: {"x": [ATTACK]}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "scenario.yaml").write_text(f"name: {ATTACK}\n")
    assert main(["report", RUN, "--results", str(results)]) == 4
    return folder / "report.html"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A tab of a real browser; the tests that need it are skipped, with the reason, where there is none."""
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
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
    drawn = list((report.parent / "figures").glob("*.svg"))
    assert page.value("document.querySelectorAll('figure svg').length") == len(drawn)
    assert len(drawn) >= len(figures.FIGURES) - 3  # the run is no sweep, of one base station, and has no events
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
        inks.append(page.value("getComputedStyle(document.querySelector('#fig5a-text_1 text')).fill"))
    assert inks == ["rgb(31, 35, 40)", "rgb(230, 237, 243)"]


def test_it_prints_with_the_repetitions_unfolded(page: Page, report: Path) -> None:
    page.open(report, width=1280)
    printed = page.print()
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") >= 5


SCROLLING = """[...document.querySelectorAll('.scroll')].map(region => ({
    scrolls: region.scrollWidth > region.clientWidth,
    hint: (region.querySelector('.hint') || {}).offsetHeight > 0,
    label: region.getAttribute('aria-label'),
    focusable: region.tabIndex === 0,
}))"""


@pytest.mark.parametrize("width", [1280, 390])
def test_what_scrolls_sideways_says_so_and_nothing_else_does(page: Page, report: Path, width: int) -> None:
    page.open(report, width=width)
    # What is folded up is not laid out, and a timeline begins with the next frame.
    unfold = """document.querySelectorAll('details').forEach(details => { details.open = true });
        new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"""
    page.ask("Runtime.evaluate", expression=unfold, awaitPromise=True)
    regions = page.value(SCROLLING)
    assert [region for region in regions if region["scrolls"] != region["hint"]] == []
    assert [region for region in regions if region["scrolls"] and not (region["focusable"] and region["label"])] == []
    if width == 390:
        assert sum(region["scrolls"] for region in regions) > 5


def test_the_regions_of_the_page_have_names_of_their_own(page: Page, report: Path) -> None:
    page.open(report, width=1280)
    names = page.value(
        """[...document.querySelectorAll('[role=region], section, nav')].map(region => region.getAttribute('aria-label')
        || document.getElementById(region.getAttribute('aria-labelledby')).textContent)"""
    )
    assert len(names) > 15
    assert sorted(set(names)) == sorted(names)


def test_printed_no_row_and_no_group_of_rows_is_cut(page: Page, report: Path) -> None:
    page.open(report, width=1280)
    page.ask("Emulation.setEmulatedMedia", media="print")
    try:
        for part in ("tr", "tbody.group", "figure", ".claim"):
            style = f"[...new Set([...document.querySelectorAll('{part}')].map(e => getComputedStyle(e).breakInside))]"
            assert page.value(style) == ["avoid"], part
        assert page.value("getComputedStyle(document.querySelector('thead')).display") == "table-header-group"
        assert page.value("[...document.querySelectorAll('.hint')].every(hint => hint.offsetHeight === 0)")
    finally:
        page.ask("Emulation.setEmulatedMedia", media="")
    # Both rows of a link, before and after, are of one group; the links' table has a group for each.
    groups = "[...document.querySelectorAll('#links tbody.group')].map(group => group.rows.length)"
    assert page.value(groups) == [2] * 8


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, False), (1280, True)])
def test_axe_finds_nothing(page: Page, report: Path, width: int, dark: bool) -> None:
    axe = os.environ.get("FAASBED_AXE")
    if not axe:
        pytest.skip("FAASBED_AXE names no axe.min.js (in the npm package axe-core)")
    page.open(report, width=width, dark=dark)
    page.ask("Runtime.evaluate", expression=Path(axe).read_text("utf-8"))
    run = "axe.run().then(found => found.violations.map(one => [one.id, one.nodes.map(node => String(node.target))]))"
    found = page.ask("Runtime.evaluate", expression=run, awaitPromise=True, returnByValue=True)
    assert found["result"]["value"] == []


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
        self.links += [f"#{target}" for value in values.values() for target in re.findall(r"url\(#([^)]*)\)", value)]
        if tag == "th" and "scope" not in values:
            self.unscoped.append(str(self.getpos()))
        if tag == "svg" and not (values.get("role") == "img" and values.get("aria-label")):
            self.unnamed_pictures += 1


def test_ids_are_unique_links_stay_inside_and_everything_has_a_name(report: Path) -> None:
    markup = Markup()
    markup.feed(report.read_text())
    assert len(markup.ids) == len(set(markup.ids))
    assert {link[1:] for link in markup.links if link.startswith("#")} <= set(markup.ids)
    assert {link for link in markup.links if not link.startswith("#")} == {"data:,"}
    assert markup.unscoped == []
    assert markup.unnamed_pictures == 0


def test_the_answer_the_warnings_the_failure_and_the_problem_of_a_link_are_there(report: Path) -> None:
    text = report.read_text()
    assert "The response time of edge was typically 63\N{NO-BREAK SPACE}% lower than that of cloud" in text
    assert text.index("2 cores for 3 compute nodes") < text.index("Fig. 5")
    assert "These numbers are &lt;drawn&gt;, not measured &amp; kept." in text
    assert "a request failed; request 0: &lt;script&gt;" in text
    assert "<h1>Refused: The verification after measuring found 1 of 8 links off their targets (cloud-1" in text
    assert re.search(r'<span class="problem">problem</span><br>jitter', text)
    assert "6th to 15th value, covers 95.9 %" in text


def test_what_should_be_known_of_the_data_set_stands_below_the_figures_and_not_in_the_headline(report: Path) -> None:
    head, body = report.read_text().split("</header>")
    assert "Empty texts" not in head
    assert body.index("Fig. 5b") < body.index("Data set: Empty texts: 2 of 40 (5.0 %).") < body.index("</section>")


def test_nothing_of_the_runs_files_becomes_markup(report: Path) -> None:
    assert "<script" not in report.read_text()
    assert "<img" not in report.read_text()


def test_one_scenario_is_reported_without_a_comparison(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(("edge",), 3), whole=False)
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    text = (folder / "report.html").read_text()
    assert "has only one scenario, so there is no comparison" in text
    assert "no 95 % interval below n = 6; the range covers 75.0 %" in text
    assert "it is unknown whether they were as the scenario requires" in text.replace("&#39;", "'")
    assert not (folder / "figures" / "ratio.svg").exists()


@pytest.mark.usefixtures("no_figures")
def test_more_repetitions_and_failures_than_a_page_lists_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render, "LISTED", 4)
    monkeypatch.setattr(table, "LISTED_FAILURES", 2)
    failed: list[Record] = []
    for number in range(101, 107):
        failed += [
            request(repetition=number, error=f"reset in {number}"),
            model(repetition=number, error="a request failed", response_time_ms=None),
        ]
    folder = write_run(tmp_path, [*all_records(repetitions=6), *failed], whole=False)
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    text = (folder / "report.html").read_text()
    assert "The first 4 of 6 repetitions of edge; raw/ holds all" in text
    assert "The first 4 of 6 failed attempts; analysis/summary.json lists all." in text
    assert "reset in 104" in text
    assert "reset in 105" not in text
    assert "reset in 106" in (folder / "analysis" / "summary.json").read_text()
    capsys.readouterr()
    assert main(["analyse", RUN, "--results", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert output.count("reset in") == 2
    assert "... and 4 more, in analysis/summary.json" in output


@pytest.mark.usefixtures("no_figures")
def test_round_trips_and_links_that_answered_nothing_are_shown_as_such(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    data = links(1)
    data["links"][0].update(clock="round-trip", expected={"median_ms": 2.55, "sigma_ms": 0.354})
    silent = dict.fromkeys(("delay", "round_trip", "expected", "gate", "histogram"))
    data["links"][1].update(silent, probes={"sent": 401, "received": 0}, ok=False, problems=["no answer"])
    (folder / "links" / "before.json").write_text(json.dumps(data))
    assert main(["report", RUN, "--results", str(tmp_path)]) == 4
    text = (folder / "report.html").read_text()
    assert "<small>round trip</small>" in text
    assert "expected 2.55" in text
    assert "no answer" in text


@pytest.mark.usefixtures("no_figures")
def test_the_wider_tolerance_of_a_coarse_machine_is_shown(tmp_path: Path) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    data = links(1)
    data["links"][0]["gate"] = {"late_ms": 0.31, "late_sigma_ms": 0, "median_ms": 0.122, "sigma_ms": 0.217}
    (folder / "links" / "before.json").write_text(json.dumps(data))
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    text = (folder / "report.html").read_text()
    assert text.count("wider tolerance") == 2
    assert "wider tolerance: timers + 0.31,<br>path ± 0.12" in text
    assert "wider tolerance: ± 0.22" in text


@pytest.mark.usefixtures("no_figures")
def test_a_links_row_shows_what_it_detects_its_round_trip_what_was_reordered_and_the_path_it_includes(
    tmp_path: Path,
) -> None:
    folder = write_run(tmp_path, all_records(repetitions=3))
    data = links(1)
    check = data["links"][0]
    check["loss"]["detectable_percent"] = 0.917
    check["delay"] |= {"median_ms": 1.2516, "quartile_sigma_ms": 0.2488}
    check["measured_before"] = ["the link was off", "and again"]
    check["reordered"] = {"count": 40, "percent": 10, "low_percent": 7.2, "high_percent": 13.4}
    check["path"]["compensated_ms"] = 0.23
    check["round_trip"] = check["delay"] | {"mean_ms": 2.62, "mean_low_ms": 2.58, "mean_high_ms": 2.66}
    (folder / "links" / "before.json").write_text(json.dumps(data))
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    text = (folder / "report.html").read_text()
    for words in (
        "detects ≥ 0.92",
        "1.252<br><small>mean",
        "0.249<br><small>deviation",
        "only when measured again: 2 measurements before were off",
        "reordered 10 %<br>7.20 to 13.4",
        "includes the path's 0.230",
        "round trip 2.62,<br>2.58 to 2.66",
    ):
        assert words in text.replace("&#39;", "'"), words


def sections(text: str) -> dict[str, str]:
    """The markup of each section of a report, by its id."""
    return dict(re.findall(r'<section id="([^"]*)"[^>]*>(.*?)</section>', text, flags=re.DOTALL))


def test_a_figure_is_shown_in_the_section_that_its_line_in_the_tuple_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trial(section: Section) -> Figure:
        return lambda _run, _analysis: [
            Picture(f"trial-{section}", "a line", f"trial of {section}", (2, 2), lambda _: None)
        ]

    every: tuple[Section, ...] = get_args(Section)
    monkeypatch.setattr(figures, "FIGURES", tuple((section, trial(section)) for section in every))
    folder = write_run(tmp_path, all_records(repetitions=3))
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    markup = sections((folder / "report.html").read_text())
    for section in every:
        assert f"<figcaption>trial of {section}</figcaption>" in markup[section]
        assert (folder / "figures" / f"trial-{section}.pdf").exists()


def test_fig_5b_connects_the_repetitions_of_a_pair(tmp_path: Path) -> None:
    kept = [r for r in all_records(repetitions=8) if (r.scenario, r.repetition) != ("cloud", 3)]
    folder = write_run(tmp_path, kept, whole=False)
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    drawn = (folder / "figures" / "fig5b.svg").read_text()
    pairs = drawn[drawn.index('<g id="pairs-edge">') :]
    assert pairs[: pairs.index("</g>")].count("<path") == 7
    assert "A line connects the repetitions of a pair" in (folder / "report.html").read_text()


@pytest.mark.usefixtures("no_figures")
def test_a_run_whose_repetitions_depend_on_their_block_is_warned_of_under_the_headline(tmp_path: Path) -> None:
    slow = (10, 16, 11, 13)
    samples: list[Record] = []
    for record in all_records():
        block = max(0, (record.repetition - 1) // 5)
        changes: dict[str, Any] = {"block": 2 * block + (record.scenario == "cloud")}
        if isinstance(record, RequestRecord):
            # All times of a repetition are longer by the same factor, so that they still fit each other.
            start = 10_000 * MS * record.repetition
            for name in ("sent_ns", "connected_ns", "uploaded_ns", "first_byte_ns", "last_byte_ns"):
                changes[name] = start + (getattr(record, name) - start) * slow[block]
        elif isinstance(record, ModelRecord) and record.response_time_ms:
            changes["response_time_ms"] = record.response_time_ms * slow[block]
        samples.append(replace(record, **changes))
    folder = write_run(tmp_path, samples, whole=False)
    assert main(["report", RUN, "--results", str(tmp_path)]) == 0
    text = (folder / "report.html").read_text()
    warning = text.index("The response times of edge depend on when they were measured (correlation within blocks 0.9")
    assert text.index("<h1>") < warning < text.index("<nav")
    assert "the interval of their median is too narrow, by a factor of about 2" in text
    assert "mean, Student, 4 rounds of blocks" in text


@pytest.mark.parametrize("name", ["../report", 'a"b', "", "Fig5"])
def test_a_picture_whose_name_could_be_a_path_or_markup_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="invalid picture name"):
        Picture(name, "a line", "a caption", (2, 2), lambda _: None)


def test_each_comparison_has_a_figure_of_its_own(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "results", all_records(("edge", "cloud", "bbr"), 6))
    assert main(["report", RUN, "--results", str(tmp_path / "results")]) == 0
    pictures = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert {name for name in pictures if name.startswith("ratio")} == {
        "ratio-edge",
        "ratio-bbr",
        "ratio-apart-edge",
        "ratio-apart-bbr",
    }
    assert (folder / "report.html").read_text().count("<figure") == len(pictures)
