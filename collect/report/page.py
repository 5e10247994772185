"""``report.html``: a run's answer, figures, numbers and evidence in one file that opens offline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from collect.analysis import phases, statistics, wording
from collect.report import table
from collect.report.figures import boxes, curves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collect.analysis.summary import Analysis
    from collect.links import LinkCheck
    from collect.report.picture import Picture
    from collect.run import Run

TEMPLATES = Path(__file__).resolve().parent / "templates"
# Keys of the manifest that stand elsewhere in the report.
SHOWN_ELSEWHERE = ("warnings",)


@dataclass(frozen=True, slots=True)
class Pictures:
    """The figures of a run; what the records do not hold is ``None``."""

    fig5a: Picture
    fig5b: Picture | None
    phases: Picture | None
    ratios: tuple[Picture | None, ...]
    links: Picture | None

    def __iter__(self) -> Iterator[Picture]:
        """Go through the figures that there are."""
        every = (self.fig5a, self.fig5b, self.phases, *self.ratios, self.links)
        return (picture for picture in every if picture is not None)


def draw(run: Run, analysis: Analysis) -> Pictures:
    """Return a run's figures, not yet drawn."""
    several = len(analysis.comparisons) > 1
    return Pictures(
        fig5a=boxes.figure_5a(analysis, run.measurements),
        fig5b=boxes.figure_5b(analysis, run.measurements),
        phases=curves.figure_phases(analysis),
        ratios=tuple(
            curves.figure_ratio(comparison, f"ratio-{comparison.subject}" if several else "ratio")
            for comparison in analysis.comparisons
        ),
        links=curves.figure_links(run.links_before, run.links_after),
    )


def render(run: Run, analysis: Analysis, pictures: Pictures) -> str:
    """Return the report as HTML; everything that came from the run's files is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        wording=wording, statistics=statistics, estimates=table.estimates, regime_sentence=table.regime_sentence
    )
    environment.filters["unbroken"] = wording.unbroken
    return environment.get_template("report.html.j2").render(
        run=run,
        analysis=analysis,
        pictures=pictures,
        svg=_svg,
        warnings=_warnings(run),
        manifest={name: value for name, value in run.manifest.items() if name not in SHOWN_ELSEWHERE},
        links=_links(run),
        phase_names=phases.names(s.regime for s in analysis.scenarios if s.regime is not None),
        repetitions=run.measurements.scenarios,
    )


def _svg(picture: Picture) -> Markup:
    """Return a figure for the page: drawn by matplotlib from our numbers, so it is markup and not text."""
    label = Markup('<svg role="img" aria-label="{}"').format(picture.alternative)
    return Markup(picture.inline().replace("<svg", label, 1))  # noqa: S704


def _warnings(run: Run) -> list[str]:
    said = run.manifest.get("warnings", [])
    return [str(warning) for warning in said] if isinstance(said, list) else [str(said)]


def _links(run: Run) -> list[dict[str, Any]]:
    """Return the links in the order of the report, each with its checks before and after."""
    checks: dict[str, dict[str, LinkCheck]] = {}
    for moment, report in (("before", run.links_before), ("after", run.links_after)):
        for link in report.links if report is not None else ():
            checks.setdefault(link.name, {})[moment] = link
    return [{"name": name, "checks": found, "target": next(iter(found.values()))} for name, found in checks.items()]
