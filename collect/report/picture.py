"""How every figure looks and is written: size, colours, type, the same bytes for the same numbers, SVG for the page."""

from __future__ import annotations

import io
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from collect import folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# A column and a page of the IEEE's journals, in inches, and the smallest type of a figure in points; at these widths a
# figure is printed as it is.
COLUMN, PAGE = 3.5, 7.16
SMALL = 7.0
# Okabe and Ito's palette, distinguishable with any kind of colour vision; its yellow, light blue and orange, which are
# less than 3:1 on white, are replaced. Each colour here has 3:1 on the page's white and on its dark background.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#A87B00", "#7F6FD0")
# Becomes the colour of the page's text, so that it is seen on white and on dark.
INK = "#24292F"
GREY = "#7A838D"
# How much of a grid is seen: it is no information.
FAINT = 0.3
NAME = re.compile(r"[a-z0-9-]+")
TAG = re.compile(r"<[^>]*>")
STYLE: dict[Any, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so the same on every machine
    "font.size": 8.0,
    "text.parse_math": False,  # a name with dollar signs is no formula
    "axes.titlesize": SMALL,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": SMALL,
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
    "hatch.linewidth": 0.6,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "svg.hashsalt": "faasbed",
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and edited
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
    ``wide`` picture takes the width of the page and scrolls where the window is narrower. Widths are COLUMN or PAGE.

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

    def drawn(self) -> Drawn:
        """Draw the figure, and return its files."""
        with mpl.rc_context():
            # What the user's matplotlibrc sets would change the figure.
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            figure = Figure(figsize=self.size_inches, layout="constrained")
            FigureCanvasAgg(figure)
            self.draw(figure)
            written = {}
            for kind, metadata in NO_DATE.items():
                target = io.BytesIO()
                figure.savefig(target, format=kind, facecolor="white", metadata=metadata)
                written[kind] = target.getvalue()
                # Laid out once: that is a third of the time of a file, and the next one has the same places.
                figure.set_layout_engine("none")
        return Drawn(self, written)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture with the bytes of its files, by their ending: svg, pdf, png."""

    picture: Picture
    files: dict[str, bytes]

    def save(self, target: Path) -> None:
        """Write the files into a folder.

        Raises:
            FolderError: the disk is full or a file cannot be written.
        """
        for kind, content in self.files.items():
            folder.write(target / f"{self.picture.name}.{kind}", content)

    def inline(self) -> str:
        """Return the figure as an SVG element: scaled by the page, in its colours, with ids of its own."""
        text = self.files["svg"].decode()
        head, body = text[text.index("<svg") :].split(">", 1)
        head = re.sub(r' (?:width|height)="[^"]*"', "", head)
        body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
        body = re.sub(r'<g id="patch_1">.*?</g>', "", body, count=1, flags=re.DOTALL)  # the paper
        # Of the tags only: words between them may be somebody's names.
        return TAG.sub(lambda tag: self._own(tag[0]), head + ">" + body)

    def _own(self, tag: str) -> str:
        """Return a tag with the picture's own ids and the page's ink."""
        name = self.picture.name
        tag = re.sub(r'\bid="', f'id="{name}-', tag)
        tag = tag.replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
        return tag.replace(INK.lower(), "currentColor")


def wrapped(name: str, letters: int, lines: int = 3) -> str:
    """Return a name in lines of so many letters, broken after hyphens first; what is too long ends in an ellipsis."""
    return "\n".join(textwrap.wrap(name, max(1, letters), max_lines=lines, placeholder="\N{HORIZONTAL ELLIPSIS}"))
