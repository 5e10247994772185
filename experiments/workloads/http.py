"""Any function on HTTP: a body is sent, and a reply with status 200 is all that is expected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from experiments.workloads import files
from experiments.workloads.workload import Name, Outcome, Reply, SettingsError, Workload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collect.records import RequestRecord
    from experiments.workloads.data import Cut


PROBE_TEXTS = 20
KIND = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"
Share = tuple[Literal["texts", "labels"], ...]


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of request: its body, as in the settings, and how many of all requests it is, against the others."""

    weight: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    body: str | None = None
    share: Share = ("texts", "labels")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``body`` is the same text in each request (``body_file`` names a file that holds it, from the scenario's folder).

    Without either each request carries its share of the data, as a JSON object with the lists that ``share`` names.
    ``kinds`` are several kinds of request by their names, each with ``body``, ``body_file`` or ``share`` of its own and
    a ``weight``: drawn by these, or named by a trace.
    """

    body: str | None = None
    share: Share = ("texts", "labels")
    kinds: dict[Annotated[str, msgspec.Meta(pattern=KIND)], Kind] = {}


class Names(msgspec.Struct, frozen=True):
    """Who answered, where the reply tells."""

    replica: Name | None = None
    node: Name | None = None


class Http(Workload[Settings]):
    """Each request posts a body; whatever is answered with status 200 is a success."""

    name: ClassVar[str] = "http"
    settings_type = Settings
    # A short request may be over before the next one comes, and one replica then answers both.
    check_rounds: ClassVar[int] = 20
    replica_each: ClassVar[bool] = False

    is_sized: ClassVar[bool] = True

    @classmethod
    def resolve(cls, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Return the settings with the bodies that each ``body_file`` holds (UTF-8)."""
        own = _with_body(settings, folder, "workload.")
        match own.get("kinds"):
            case dict(kinds):
                read = {
                    name: _with_body(kind, folder, f"workload.kinds.{name}.") if isinstance(kind, dict) else kind
                    for name, kind in kinds.items()
                }
                return {**own, "kinds": read}
        return own

    @classmethod
    def check(cls, settings: Settings) -> None:
        """Refuse a body beside kinds, which would never be sent."""
        if settings.kinds and settings.body is not None:
            raise SettingsError("workload.body: kinds are set too, which have bodies of their own; keep one of them")

    @property
    def kinds(self) -> dict[str, float]:
        """The kinds' weights."""
        return {name: kind.weight for name, kind in self.settings.kinds.items()}

    def body(self, rows: Sequence[int], kind: str | None = None, body_bytes: int | None = None) -> bytes:
        """Return the kind's body, or the rows as ``{"texts": [text, ...], "labels": [label, ...]}``.

        A body of a given size is a JSON text of so many letters.
        """
        if body_bytes is not None:
            return b'"%s"' % (b"x" * (body_bytes - 2)) if body_bytes > 1 else b"0" * body_bytes
        chosen = self.settings if kind is None else self.settings.kinds[kind]
        if chosen.body is not None:
            return chosen.body.encode()
        columns = {"texts": self.data.x, "labels": self.data.y}
        return json.dumps(
            {name: [columns[name][row] for row in rows] for name in chosen.share},
            separators=(",", ":"),
            ensure_ascii=False,
        ).encode()

    def probe(self) -> bytes:
        """Return a body like those that are measured, with a few texts where it holds texts."""
        return self.body(range(min(PROBE_TEXTS, len(self.data.x))), next(iter(self.settings.kinds), None))

    def reply(self, body: bytes) -> Reply:
        """Accept any body; a JSON object may name replica and node, as all that app/serving serves does."""
        try:
            names = msgspec.json.decode(body, type=Names)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Reply()
        return Reply(names.replica, names.node)

    def finish(self, cut: Cut, requests: Sequence[RequestRecord], seed: int) -> Outcome:
        """Do nothing: the replies are the result."""
        del cut, requests, seed
        return Outcome()


def _with_body(settings: dict[str, Any], folder: Path, where: str) -> dict[str, Any]:
    if "body_file" not in settings:
        return settings
    key = f"{where}body_file"
    if "body" in settings:
        raise SettingsError(f"{key}: body is set too; keep one of them")
    others = {name: value for name, value in settings.items() if name != "body_file"}
    return {**others, "body": files.text(folder / str(settings["body_file"]), key)}
