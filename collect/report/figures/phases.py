"""Where the time goes: the median phases of each scenario as stacked bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from collect.analysis import phases
from collect.report.picture import INK, PAGE, SMALL, Picture, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure

    from collect.analysis.phases import Regime
    from collect.analysis.summary import Analysis
    from collect.run import Run

# Blues for what the network does, oranges for what the processor does, dark to light in the order of time; and a
# hatching, because a blue and an orange can be the same grey. What an outline surrounds needs no contrast of its own.
LOOKS = {
    "upload": ("#08519C", ""),
    "wait": ("#4292C6", "////"),
    "read": ("#9ECAE1", "\\\\\\\\"),
    "queue": ("#6BAED6", "xxxx"),
    "parse": ("#7F2704", "----"),
    "vectorise": ("#D94801", "||||"),
    "search": ("#F78B2D", ""),
    "fit": ("#FDC38D", "//"),
    "download": ("#C6DBEF", "++++"),
}
# What a function of the user's reports takes these in turn.
OTHERS = (("#8C6D31", "--||"), ("#E7CB94", "\\\\"), ("#5C4A1E", "//--"), ("#BD9E39", "xx"))
DARK_INK, LIGHT_INK = "#111111", "#FFFFFF"
# A label is written into a bar that takes at least this share of the longest one.
LABEL_SHARE = 0.07
# Letters of a phase's name in the legend.
LETTERS = 24
# Of 255, as the eye weighs the three colours.
HALF_BRIGHT = 140
CAPTION = (
    "Median phases of the request that came back last in each repetition, or of all requests where they were not sent "
    "together. Blue: the network and the gateway; orange: "
    "the function's compute; each has its own hatching, too. The medians of the phases need not add up to the median "
    "response time."
)


def pictures(_: Run, analysis: Analysis) -> Iterator[Picture]:
    """Yield the stacked bars of the scenarios whose phases are recorded, if there are any."""
    regimes = {s.name: s.regime for s in analysis.scenarios if s.regime is not None}
    if not regimes:
        return
    values = "; ".join(f"{name}: {regime.word}, {regime.network_share:.0%} network" for name, regime in regimes.items())
    yield Picture(
        name="phases",
        alternative=f"Stacked bars of the phases. {values}.",
        caption=CAPTION,
        size_inches=(PAGE, 0.85 + 0.2 * _legend_rows(regimes) + 0.5 * len(regimes)),
        draw=lambda figure: _bars(figure, regimes),
        wide=True,
    )


def _bars(figure: Figure, regimes: dict[str, Regime]) -> None:
    axes = figure.subplots()
    names = phases.names(regimes.values())
    by_name = looks(names)
    longest = max(sum(regime.phases_s.values()) for regime in regimes.values())
    for place, regime in enumerate(regimes.values()):
        left = 0.0
        for name in names:
            width = regime.phases_s.get(name, 0.0)
            colour, hatch = by_name[name]
            ink = LIGHT_INK if _is_dark(colour) else DARK_INK
            axes.barh(
                place,
                width,
                left=left,
                height=0.62,
                facecolor=colour,
                edgecolor=INK,
                linewidth=0.6,
                hatch=hatch,
                hatchcolor=ink,
                label=wrapped(name, LETTERS, 1) if place == 0 else None,
            )
            if width > LABEL_SHARE * longest:
                axes.text(
                    left + width / 2,
                    place,
                    f"{width:.2g} s",
                    ha="center",
                    va="center",
                    color=ink,
                    fontsize=SMALL,
                    bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.2},
                )
            left += width
    axes.set_yticks(range(len(regimes)), [wrapped(name, 16) for name in regimes])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("median time (s)")
    axes.set_xlim(left=0)
    figure.legend(
        loc="outside upper left",
        ncols=_legend_columns(names),
        frameon=False,
        handlelength=2.2,
        handleheight=1.2,
        columnspacing=1,
    )


def looks(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the fill and the hatching of each phase."""
    others = [name for name in names if name not in LOOKS]
    return LOOKS | {name: OTHERS[place % len(OTHERS)] for place, name in enumerate(others)}


def _legend_columns(names: Sequence[str]) -> int:
    widest = max((len(wrapped(name, LETTERS, 1)) for name in names), default=1)
    fitting = max(1, min(len(names), int(PAGE / (0.42 + widest * 0.052))))
    # In rows of one length.
    return math.ceil(len(names) / math.ceil(len(names) / fitting)) if names else 1


def _legend_rows(regimes: dict[str, Regime]) -> int:
    names = phases.names(regimes.values())
    return math.ceil(len(names) / _legend_columns(names)) if names else 1


def _is_dark(colour: str) -> bool:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < HALF_BRIGHT
