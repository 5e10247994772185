"""Figures as a journal takes them: size, type, contrast, grey, and the same on every machine."""

from __future__ import annotations

import re
import zlib
from itertools import combinations
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pytest
from generated_run import RUN, all_records, write_run
from matplotlib.colors import to_rgb
from msgspec.structs import replace

from collect import folder, run
from collect.analysis import summary
from collect.analysis.statistics import summarise
from collect.report import figures, page
from collect.report.figures import boxes, phases
from collect.report.looks import MARKERS, looks
from collect.report.picture import COLOURS, COLUMN, GREY, INK, PAGE, SMALL, Picture, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

pytestmark = pytest.mark.once

# The page's background and text, as report.css has them: light, and dark.
PAPERS = {"#ffffff": "#1f2328", "#11151a": "#e6edf3"}
LONG = "edge-with-a-name-of-32-letters-x"


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast of two colours as WCAG 2 defines it, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    """All figures of a run with a long name, phases of its own and links."""
    records = [
        replace(r, scenario=LONG) if r.scenario == "fog" else r for r in all_records(("edge", "cloud", "fog"), 7)
    ]
    results = tmp_path_factory.mktemp("results")
    write_run(results, records)
    loaded = run.load(folder.find(results, RUN))
    analysis = summary.analyse(RUN, loaded.measurements)
    return [picture for _, picture in figures.pictures(loaded, analysis)]


def texts(svg: str) -> Iterator[tuple[float, str]]:
    """Size in points and words of each text of an SVG whose unit is the point."""
    for style, words in re.findall(r'<text style="([^"]*)"[^>]*>([^<]*)</text>', svg):
        size = re.search(r"font(?:-size)?: (?:[a-z]+ )*([0-9.]+)px", style)
        assert size is not None, style
        yield float(size[1]), words


def test_every_figure_has_the_width_of_a_column_or_a_page_and_its_text_is_text_of_7_points_at_least(
    pictures: list[Picture],
) -> None:
    assert len(pictures) >= 5
    for picture in pictures:
        svg = picture.drawn().files["svg"].decode()
        assert picture.size_inches[0] in (COLUMN, PAGE), picture.name
        assert f'width="{72 * picture.size_inches[0]:g}pt"' in svg
        sizes = [size for size, _ in texts(svg)]
        assert len(sizes) == svg.count("<text") > 3, picture.name
        assert min(sizes) >= SMALL, picture.name


def test_the_widths_are_those_of_the_ieee() -> None:
    assert (COLUMN, PAGE) == (3.5, 7.16)


def test_nothing_in_a_figure_reaches_beyond_it(pictures: list[Picture]) -> None:
    for picture in pictures:

        def draw(figure: Figure, picture: Picture = picture) -> None:
            picture.draw(figure)
            figure.canvas.draw()
            box = figure.get_tightbbox()
            width, height = figure.get_size_inches()
            seen = (picture.name, box.extents, (width, height))
            assert min(box.x0, box.y0) > -0.03, seen
            assert box.x1 < width + 0.03, seen
            assert box.y1 < height + 0.03, seen

        Picture(picture.name, "", "", picture.size_inches, draw).drawn()


def test_what_the_user_has_set_for_matplotlib_does_not_change_a_figure(pictures: list[Picture]) -> None:
    plain = pictures[0].drawn().files
    changed: dict[Any, Any] = {
        "font.size": 30,
        "lines.linewidth": 9,
        "axes.grid": True,
        "axes.titlesize": 30,
        "boxplot.notch": True,
        "savefig.bbox": "tight",
        "axes.facecolor": "black",
    }
    with mpl.rc_context(changed):
        assert pictures[0].drawn().files == plain
        assert mpl.rcParams["font.size"] == 30


@pytest.mark.parametrize("paper", PAPERS)
def test_colours_have_a_contrast_of_3_to_the_page_in_light_and_dark(paper: str) -> None:
    assert {colour: contrast(colour, paper) for colour in (*COLOURS, GREY) if contrast(colour, paper) < 3} == {}


def test_the_page_has_the_colours_that_contrast_is_tested_with() -> None:
    text = (page.TEMPLATES / "report.css").read_text("utf-8")
    for paper, ink in PAPERS.items():
        assert f"--ink: {ink}; --paper: {paper};" in text
        assert contrast(ink, paper) >= 7


def test_all_text_of_the_page_has_a_contrast_of_4_5_to_it_in_light_dark_and_print() -> None:
    text = (page.TEMPLATES / "report.css").read_text("utf-8")
    themes = re.findall(r":root \{([^}]*)\}", text)
    assert len(themes) == 3
    for theme in themes:
        colours = {
            name: "#" + "".join(2 * c for c in value) if len(value) == 3 else f"#{value}"
            for name, value in re.findall(r"--(\w+): #(\w+);", theme)
        }
        for name in ("ink", "quiet", "good", "bad", "open"):
            for paper in ("paper", "shade"):
                assert contrast(colours[name], colours[paper]) >= 4.5, (name, paper, colours)


def test_the_phases_differ_in_grey_by_their_hatching_or_by_3_to_1() -> None:
    other = phases.looks(["embed", "index", "rank", "store"])
    for (name, (fill, hatch)), (second, (other_fill, other_hatch)) in combinations(other.items(), 2):
        assert hatch != other_hatch or contrast(fill, other_fill) >= 3, (name, second)


def test_a_scenarios_look_is_that_of_its_name_whatever_else_the_run_has() -> None:
    alone, others = looks(["bbr"])["bbr"], looks(["cloud", "a", "edge", "bbr"])
    assert (others["edge"].colour, others["cloud"].colour) == (COLOURS[0], COLOURS[1])
    assert looks(["cloud"])["cloud"] == others["cloud"]
    # A name before it in the alphabet takes its place only where their checksums agree.
    assert zlib.crc32(b"a") % 4 != zlib.crc32(b"bbr") % 4
    assert others["bbr"] == alone
    six = looks(["edge", "cloud", "p", "q", "r", "s"])
    assert len({look.colour for look in six.values()}) == len({look.marker for look in six.values()}) == 6
    assert set(looks(f"s{number}" for number in range(40))) >= {"s0", "s39"}
    assert len(MARKERS) == len(COLOURS)


def test_above_200_points_a_scenario_has_a_histogram() -> None:
    values = {"edge": [1 + place / 201 for place in range(201)], "cloud": [2.0, 3.0]}
    assert "of more than 200 repetitions the outline is a histogram" in boxes.reading(values)
    assert "each point is a repetition" in boxes.reading(values)
    assert "each point" not in boxes.reading({"edge": values["edge"]})
    assert "histogram" not in boxes.reading({"edge": values["edge"][:200]})
    summaries = {name: summarise(points) for name, points in values.items()}

    def size(drawn: dict[str, list[float]]) -> int:
        def draw(figure: Figure) -> None:
            boxes.draw(figure.subplots(), drawn, summaries, list(values))

        return len(Picture("trial", "", "", (COLUMN, 2), draw).drawn().files["svg"])

    few, many = (size({**values, "edge": [1 + place / count for place in range(count)]}) for count in (200, 5000))
    assert many < few


def test_long_names_are_wrapped_after_their_hyphens_and_end_in_an_ellipsis() -> None:
    assert wrapped("edge-bbr-far", 9) == "edge-bbr-\nfar"
    assert wrapped("x" * 30, 8, 2).endswith("\N{HORIZONTAL ELLIPSIS}")
    assert max(map(len, wrapped("x" * 30, 8, 2).splitlines())) <= 8


def test_words_of_a_figure_stay_as_they_are_on_the_page() -> None:
    words = f'id="x" url(#y) {INK.lower()}'

    def draw(figure: Figure) -> None:
        figure.suptitle(words)

    inline = Picture("trial", "", "", (COLUMN, 1), draw).drawn().inline()
    assert f">{words}</text>" in inline
    assert 'id="trial-' in inline
    assert "currentColor" in inline
