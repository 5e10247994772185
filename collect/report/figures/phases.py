"""Where the time goes: the median phases of each scenario as stacked bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collect.analysis import phases
from collect.report.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from collect.analysis.phases import Regime
    from collect.analysis.summary import Analysis
    from collect.run import Run

# Blues for what the network does, oranges for what the processor does, dark to light in the order of time.
COLOURS = {
    "upload": "#08519C",
    "wait": "#4292C6",
    "read": "#9ECAE1",
    "queue": "#6BAED6",
    "parse": "#7F2704",
    "vectorise": "#D94801",
    "search": "#F78B2D",
    "fit": "#FDC38D",
    "download": "#C6DBEF",
}
OTHER_COLOUR = "#8C6D31"
# A label is written into a bar that takes at least this share of the longest one.
LABEL_SHARE = 0.07
# Of 255, as the eye weighs the three colours.
HALF_BRIGHT = 140
CAPTION = (
    "Median phases of the request that came back last in each repetition. Blue: the network and the gateway; orange: "
    "the function's compute. The medians of the phases need not add up to the median response time."
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
        size_inches=(8.4, 1.35 + 0.55 * len(regimes)),
        draw=lambda figure: _bars(figure, regimes),
        wide=True,
    )


def _bars(figure: Figure, regimes: dict[str, Regime]) -> None:
    axes = figure.subplots()
    names = phases.names(regimes.values())
    longest = max(sum(regime.phases_s.values()) for regime in regimes.values())
    for place, regime in enumerate(regimes.values()):
        left = 0.0
        for name in names:
            width = regime.phases_s.get(name, 0.0)
            colour = COLOURS.get(name, OTHER_COLOUR)
            axes.barh(place, width, left=left, height=0.56, color=colour, label=name if place == 0 else None)
            if width > LABEL_SHARE * longest:
                ink = "white" if _is_dark(colour) else "#111111"
                label = f"{width:.2g} s"
                axes.text(left + width / 2, place, label, ha="center", va="center", color=ink, fontsize=8.5)
            left += width
    axes.set_yticks(range(len(regimes)), list(regimes))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("median time (s)")
    axes.set_xlim(left=0)
    figure.legend(
        loc="outside upper left", ncols=len(names), frameon=False, fontsize=8.5, handlelength=1, columnspacing=1
    )


def _is_dark(colour: str) -> bool:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < HALF_BRIGHT
