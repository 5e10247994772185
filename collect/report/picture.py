"""How every figure looks and is written: colours, type, the same bytes for the same numbers, SVG for the page."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from collect import folder as files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Okabe and Ito's palette, distinguishable with any kind of colour vision; in the order of the scenarios.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK = "#24292F"
# Visible on a white and on a dark page alike, so it stays as it is in both.
GREY = "#8C959F"
NAME = re.compile(r"[a-z0-9-]+")
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the same on every machine
    "font.size": 9.5,
    "text.parse_math": False,  # a name with dollar signs is no formula
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.hashsalt": "faasbed",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}
# Without these a file would carry the time at which it was written.
NO_DATE: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None, "ModDate": None},
    "png": {},
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure: its file name, what it shows in words for readers who cannot see it, a caption, and how it is drawn.

    ``name`` is of lower-case letters, digits and hyphens, as it becomes a file's name and part of ids in the page. A
    ``wide`` picture takes the width of the page and scrolls where the window is narrower.

    Raises:
        ValueError: the name holds something else.
    """

    name: str
    alternative: str
    caption: str
    size_inches: tuple[float, float]
    draw: Callable[[Figure], None]
    wide: bool = False

    def __post_init__(self) -> None:
        """Refuse a name that could be a path or markup."""
        if not NAME.fullmatch(self.name):
            raise ValueError(f"invalid picture name {self.name!r}: expected lower-case letters, digits and hyphens")

    def render(self, kind: str, *, background: str = "white") -> bytes:
        """Return the figure as a file's bytes; ``kind`` is svg, pdf or png."""
        with mpl.rc_context(STYLE):
            figure = Figure(figsize=self.size_inches, layout="constrained")
            FigureCanvasAgg(figure)
            self.draw(figure)
            target = io.BytesIO()
            figure.savefig(target, format=kind, facecolor=background, metadata=NO_DATE[kind])
        return target.getvalue()

    def save(self, folder: Path) -> None:
        """Write the figure as SVG, PDF and PNG into a folder.

        Raises:
            FolderError: the disk is full or a file cannot be written.
        """
        for kind in NO_DATE:
            files.write(folder / f"{self.name}.{kind}", self.render(kind))

    def inline(self) -> str:
        """Return the figure as an SVG element: scaled by the page, in the page's text colour, with ids of its own."""
        text = self.render("svg", background="none").decode()
        head, body = text[text.index("<svg") :].split(">", 1)
        head = re.sub(r' (?:width|height)="[^"]*"', "", head)
        text = head + ">" + re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
        text = re.sub(r'\bid="', f'id="{self.name}-', text)
        text = text.replace('href="#', f'href="#{self.name}-').replace("url(#", f"url(#{self.name}-")
        return text.replace(INK.lower(), "currentColor")
