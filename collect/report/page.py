"""``report.html``: a run's answer, figures, numbers and evidence in one file that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from collect.analysis import phases, quality, quantiles, starts, statistics, wording
from collect.analysis.dependence import SIGNIFICANT
from collect.report import table
from collect.report.figures import Section
from collect.sweep import written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collect.analysis.summary import Analysis
    from collect.links import LinkCheck
    from collect.report.picture import Drawn
    from collect.run import Run

TEMPLATES = Path(__file__).resolve().parent / "templates"
# How many repetitions of a scenario, and failures, the page lists: with more a browser takes minutes.
LISTED = 1000
# How many links the page shows in one table; more of them are summed up by kind, and stand behind a click.
LINKS_LISTED = 24
# Keys of the manifest that another part of the report shows.
SHOWN_ELSEWHERE = ("warnings",)


def render(run: Run, analysis: Analysis, pictures: Mapping[Section, Sequence[Drawn]]) -> str:
    """Return the report as HTML, each picture in its section; everything from the run's files is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        wording=wording,
        statistics=statistics,
        significant=SIGNIFICANT,
        fewest=quantiles.fewest,
        estimates=table.estimates,
        regime_sentence=table.regime_sentence,
        test_accuracy=quality.TEST_ACCURACY,
        written=written,
    )
    measures = list(dict.fromkeys(one.measure for scenario in analysis.scenarios for one in scenario.qualities))
    environment.filters["unbroken"] = wording.unbroken
    return environment.get_template("report.html.j2").render(
        run=run,
        analysis=analysis,
        measures=measures,
        and_measures="".join(f" and {measure.name}" for measure in measures),
        pictures={section: pictures.get(section, ()) for section in get_args(Section)},
        svg=_svg,
        warnings=[*analysis.warnings, *_warnings(run)],
        manifest={name: value for name, value in run.manifest.items() if name not in SHOWN_ELSEWHERE},
        links=_links(run),
        kinds=_kinds(run),
        most_links=LINKS_LISTED,
        start_phases=starts.PHASES,
        phase_names=phases.names(s.regime for s in analysis.scenarios if s.regime is not None),
        repetitions=run.measurements.scenarios,
        most_listed=LISTED,
        arrived={scenario.name for scenario in analysis.scenarios if scenario.arrived is not None},
        together={scenario.name for scenario in analysis.scenarios if scenario.together is not None},
    )


def _svg(drawn: Drawn) -> Markup:
    """Return a picture as markup: matplotlib drew it from our numbers and escaped its words."""
    label = Markup('<svg role="img" aria-label="{}"').format(drawn.picture.alternative)
    return Markup(drawn.inline().replace("<svg", label, 1))  # noqa: S704


def _warnings(run: Run) -> list[str]:
    warnings = run.manifest.get("warnings", [])
    return [str(warning) for warning in warnings] if isinstance(warnings, list) else [str(warnings)]


class Kind(NamedTuple):
    """The links of one shape in one verification: what the probes measured of them, least and most of all."""

    shape: str
    moment: str
    links: int
    ok: int
    delays_ms: list[float]
    sigmas_ms: list[float]
    lost: int
    sent: int
    tcp_mbit: list[float]


def _known(judged: float | None, other: float) -> float:
    """Return what the check judged, or in a report of an older schema, which does not have it, the other estimate."""
    return other if judged is None else judged


def _kinds(run: Run) -> list[Kind]:
    """Return the links by their shape and by when they were verified."""
    checks: dict[tuple[str, str], list[LinkCheck]] = {}
    for moment, report in run.verifications.items():
        for link in report.links:
            checks.setdefault((link.link.shape, moment), []).append(link)
    return [
        Kind(
            shape,
            moment,
            len(alike),
            sum(check.ok for check in alike),
            sorted(_known(check.delay.median_ms, check.delay.mean_ms) for check in alike if check.delay),
            sorted(_known(check.delay.quartile_sigma_ms, check.delay.sigma_ms) for check in alike if check.delay),
            sum(check.loss.count for check in alike),
            sum(check.probes.sent for check in alike),
            sorted(check.tcp.mbit for check in alike if check.tcp is not None),
        )
        for (shape, moment), alike in sorted(checks.items(), key=lambda item: (item[0][0], item[0][1] != "before"))
    ]


def _links(run: Run) -> list[dict[str, Any]]:
    """Return the links in the order of the report, each with its checks before and after."""
    checks: dict[str, dict[str, LinkCheck]] = {}
    for moment, report in run.verifications.items():
        for link in report.links:
            checks.setdefault(link.name, {})[moment] = link
    return [{"name": name, "checks": by_moment} for name, by_moment in checks.items()]
