"""Any function on HTTP: bodies from the data, from files or made from a seed, and what of the replies is recorded."""

from __future__ import annotations

import base64
import json
import mimetypes
import re
from functools import lru_cache
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from experiments.workloads import files
from experiments.workloads.generators import GENERATORS, Generator
from experiments.workloads.reading import Reading
from experiments.workloads.workload import FIRST, Draw, Name, Outcome, Reply, SettingsError, Workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from collect.records import RequestRecord
    from experiments.workloads.data import Cut


PROBE_TEXTS = 20
KIND = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"
JSON_TYPE = "application/json"
CONTENT_TYPE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}(; ?[A-Za-z0-9=_.-]{1,64})?"
)
# What says where bodies come from, as a scenario file has it.
SOURCES = ("body", "body_file", "body_folder", "bodies", "generator")
Share = tuple[Literal["texts", "labels"], ...]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the bodies of a kind of request come from; see `Settings`."""

    body: str | None = None
    bodies: tuple[bytes, ...] = ()
    generator: Generator | None = None
    share: Share = ("texts", "labels")

    @property
    def different(self) -> int:
        """How many different bodies there are of the same rows."""
        return self.generator.different if self.generator else max(1, len(self.bodies))

    @property
    def is_fixed(self) -> bool:
        """Whether bodies come from elsewhere than the data."""
        return bool(_sources(self))

    def drawn(self, draw: Draw) -> bytes | None:
        """Return the body that a draw gives, ``None`` where bodies are made from the data."""
        if self.generator is not None:
            return self.generator.body(draw.seed, draw.turn % self.different)
        if self.bodies:
            return self.bodies[_order(draw.seed, len(self.bodies))[draw.turn % len(self.bodies)]]
        return None if self.body is None else self.body.encode()


class Kind(Source, frozen=True, forbid_unknown_fields=True):
    """A kind of request: its bodies, as in the settings, and how many of all requests it is, against the others."""

    weight: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class Settings(Source, frozen=True, forbid_unknown_fields=True):
    """What is sent: each request carries its share of the data, as a JSON object with the lists that ``share`` names.

    Or ``body``, the same text in each request; ``body_file``, what a file holds; ``body_folder``, the files of a
    folder, which requests take in drawn order, another one in each repetition (both from the scenario's folder; the run
    keeps their content in ``bodies``, as base64); or ``generator``, bodies made from the run's seed: ``{name:
    random-bytes, size_bytes: 100000}`` or ``{name: digits, images: 700}``, images of handwritten digits. ``kinds`` are
    several kinds of request by their names, each with such a key of its own and a ``weight``: drawn by these, or named
    by a trace. ``content_type`` is that of all bodies, as their source has it unless it is set.

    What is read: ``reply`` has ``status``, the list of statuses that are a success (200), and ``measures``, which say
    how good replies are: by the name of each the ``path`` of a number in a reply that is JSON (JSONPath: ``$.score``,
    ``$['top 5'][0]``), ``better``, ``higher`` or ``lower``, and its ``unit``.
    """

    kinds: dict[Annotated[str, msgspec.Meta(pattern=KIND)], Kind] = {}
    content_type: str | None = None
    reply: Reading = Reading()


class Names(msgspec.Struct, frozen=True):
    """Who answered, where the reply tells."""

    replica: Name | None = None
    node: Name | None = None


class Http(Workload[Settings]):
    """Each request posts a body; a reply with an expected status is a success, and may say how good it is."""

    name: ClassVar[str] = "http"
    settings_type = Settings
    # A short request may be over before the next one comes, and one replica then answers both.
    check_rounds: ClassVar[int] = 20
    replica_each: ClassVar[bool] = False

    is_sized: ClassVar[bool] = True

    @classmethod
    def resolve(cls, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Return the settings with the bodies that each ``body_file`` and ``body_folder`` holds."""
        types: set[str] = set()
        own = _with_bodies(settings, folder, "workload.", types)
        match own.get("kinds"):
            case dict(kinds):
                read = {
                    name: _with_bodies(kind, folder, f"workload.kinds.{name}.", types)
                    if isinstance(kind, dict)
                    else kind
                    for name, kind in kinds.items()
                }
                own = {**own, "kinds": read}
        if types - {JSON_TYPE} and "content_type" not in own:
            if len(types) > 1:
                raise _several(types)
            own["content_type"] = next(iter(types))
        return own

    @classmethod
    def check(cls, settings: Settings) -> None:
        """Refuse bodies beside kinds, which would never be sent, and two sources of one body."""
        settings.reply.check()
        if settings.content_type is None and len(types := _types(settings)) > 1:
            raise _several(types)
        if settings.content_type is not None and not CONTENT_TYPE.fullmatch(settings.content_type):
            raise SettingsError(
                f"workload.content_type: invalid type {settings.content_type!r:.60}: expected a media type, such as "
                "image/png"
            )
        if settings.kinds and settings.is_fixed:
            raise SettingsError(
                f"workload.{_sources(settings)[0]}: kinds are set too, which have bodies of their own; keep one of them"
            )
        for where, source in (("", settings), *((f"kinds.{name}.", kind) for name, kind in settings.kinds.items())):
            named = _sources(source)
            if len(named) > 1:
                raise SettingsError(f"workload.{where}{named[1]}: {named[0]} is set too; keep one of them")
            if source.generator is not None:
                source.generator.check()

    @property
    def measures(self) -> tuple[str, ...]:
        """Those that are read from replies."""
        return tuple(self.settings.reply.measures)

    @property
    def kinds(self) -> dict[str, float]:
        """The kinds' weights."""
        return {name: kind.weight for name, kind in self.settings.kinds.items()}

    @property
    def content_type(self) -> str:
        """The type of all bodies."""
        return self.settings.content_type or next(iter(_types(self.settings)))

    @property
    def statuses(self) -> tuple[int, ...]:
        """The statuses of a success."""
        return self.settings.reply.status

    def different(self, kind: str | None = None) -> int:
        """Return how many different bodies a kind has."""
        return self._source(kind).different

    def body(
        self, rows: Sequence[int], kind: str | None = None, body_bytes: int | None = None, draw: Draw = FIRST
    ) -> bytes:
        """Return the kind's body, or the rows as ``{"texts": [text, ...], "labels": [label, ...]}``.

        A body of a given size is a JSON text of so many letters.
        """
        if body_bytes is not None:
            return b'"%s"' % (b"x" * (body_bytes - 2)) if body_bytes > 1 else b"0" * body_bytes
        source = self._source(kind)
        drawn = source.drawn(draw)
        if drawn is not None:
            return drawn
        columns = {"texts": self.data.x, "labels": self.data.y}
        return json.dumps(
            {name: [columns[name][row] for row in rows] for name in source.share},
            separators=(",", ":"),
            ensure_ascii=False,
        ).encode()

    def texts(self, rows: Sequence[int], kind: str | None = None, body_bytes: int | None = None) -> int:
        """Return how many texts such a body holds: none where it comes from elsewhere."""
        return 0 if body_bytes is not None or self._source(kind).is_fixed else len(rows)

    def probe(self) -> bytes:
        """Return a body like those that are measured, with a few texts where it holds texts."""
        return self.body(range(min(PROBE_TEXTS, len(self.data.x))), next(iter(self.settings.kinds), None))

    def reply(self, body: bytes) -> Reply:
        """Accept any body that has the measures; a JSON object may name replica and node, as app/serving does."""
        values = self.settings.reply.values(body)
        try:
            names = msgspec.json.decode(body, type=Names)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Reply(qualities=values)
        return Reply(names.replica, names.node, qualities=values)

    def finish(self, cut: Cut, requests: Sequence[RequestRecord], seed: int) -> Outcome:
        """Take the mean of the requests' qualities: the replies are the result."""
        del cut, seed
        measures = self.settings.reply.measures
        means = {name: fmean(request.qualities[name] for request in requests) for name in measures}
        return Outcome(qualities=self.settings.reply.qualities(means))

    def _source(self, kind: str | None) -> Source:
        return self.settings if kind is None else self.settings.kinds[kind]


def _types(settings: Settings) -> set[str]:
    """Return the types of bodies, as far as those who make them know."""
    sources = settings.kinds.values() or (settings,)
    return {source.generator.content_type if source.generator else JSON_TYPE for source in sources}


def _several(types: set[str]) -> SettingsError:
    return SettingsError(
        f"workload.content_type: needed: the bodies are of several types ({', '.join(sorted(types))}), and requests "
        "name one"
    )


def _sources(source: Source) -> list[str]:
    return [key for key in ("body", "bodies", "generator") if getattr(source, key) not in (None, ())]


@lru_cache(16)
def _order(seed: str, count: int) -> list[int]:
    """Return the order in which a repetition's requests take the files."""
    return Random(seed).sample(range(count), count)  # noqa: S311


def _with_bodies(settings: dict[str, Any], folder: Path, where: str, types: set[str]) -> dict[str, Any]:
    """Return settings with what their files hold, and add the files' types to those that are known."""
    match settings:
        case {"generator": {"name": name}} if name not in GENERATORS:
            raise SettingsError(
                f"{where}generator: unknown generator {name!r:.60}; expected one of {', '.join(GENERATORS)}"
            )
    key = next((key for key in ("body_file", "body_folder") if key in settings), None)
    if key is None:
        return settings
    other = next((name for name in SOURCES if name in settings and name != key), None)
    if other is not None:
        raise SettingsError(f"{where}{key}: {other} is set too; keep one of them")
    others = {name: value for name, value in settings.items() if name != key}
    path = folder / str(settings[key])
    if key == "body_folder":
        contents = files.contents(path, where + key)
        types |= {_type(name) for name in contents}
        return {**others, "bodies": _as_base64(contents.values())}
    content = files.content(path, where + key)
    try:
        return {**others, "body": content.decode()}
    except UnicodeDecodeError:
        types.add(_type(path.name))
        return {**others, "bodies": _as_base64([content])}


def _type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _as_base64(contents: Iterable[bytes]) -> list[str]:
    return [base64.b64encode(content).decode() for content in contents]
