"""Any function on HTTP: a body is sent, and a reply with status 200 is all that is expected."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from experiments.workloads.workload import Name, Outcome, Reply, SettingsError, Workload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collect.records import RequestRecord
    from experiments.workloads.data import Cut


PROBE_TEXTS = 20
# What the function takes, unless it is told otherwise (app/README.md).
BODY_BYTES = 64 << 20


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``body`` is the same text in each request (``body_file`` names a file that holds it, from the scenario's folder).

    Without either each request carries its share of the data, as a JSON object with the lists that ``share`` names.
    """

    body: str | None = None
    share: tuple[Literal["texts", "labels"], ...] = ("texts", "labels")


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

    @classmethod
    def resolve(cls, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Return the settings with the body that ``body_file`` holds (UTF-8)."""
        if "body_file" not in settings:
            return settings
        if "body" in settings:
            raise SettingsError("workload.body_file: body is set too; keep one of them")
        path = folder / str(settings["body_file"])
        return {**{key: value for key, value in settings.items() if key != "body_file"}, "body": _text(path)}

    def body(self, rows: Sequence[int]) -> bytes:
        """Return the settings' body, or the rows as ``{"texts": [text, ...], "labels": [label, ...]}``."""
        if self.settings.body is not None:
            return self.settings.body.encode()
        columns = {"texts": self.data.x, "labels": self.data.y}
        return json.dumps(
            {name: [columns[name][row] for row in rows] for name in self.settings.share},
            separators=(",", ":"),
            ensure_ascii=False,
        ).encode()

    def probe(self) -> bytes:
        """Return a body like those that are measured, with a few texts where it holds texts."""
        return self.body(range(min(PROBE_TEXTS, len(self.data.x))))

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


def _text(path: Path) -> str:
    """Return what a file of text holds."""
    reason = "it is not a file"
    try:
        if os.path.isfile(path):  # noqa: PTH113 - Path's own raises where the name is too long
            with path.open("rb") as file:
                content = file.read(BODY_BYTES + 1)
            if len(content) <= BODY_BYTES:
                return content.decode()
            reason = f"it has more than {BODY_BYTES >> 20} MiB"
    except OSError as error:
        reason = str(error.strerror)
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    raise SettingsError(f"workload.body_file: {path} cannot be read: {reason}")
