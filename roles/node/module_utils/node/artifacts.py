"""The artifacts' folder of the controller, as the roles that use its files read it.

``make artifacts`` records in ``artifacts.json`` what it verified. A file is used only while it is what was recorded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.files import sha256_of

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = "artifacts.json"


class ArtifactError(NodeError):
    """The folder does not hold what the nodes need: one sentence, with what to do."""


class Artifacts:
    """The folder, and what ``make artifacts`` recorded of its files.

    Args:
        folder: the artifacts' folder.

    Raises:
        ArtifactError: the records cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            text = (folder / RECORDS).read_text("utf-8")
            # Records of old do not tell how a file was verified: they count as none.
            self._records = {name: record for name, record in json.loads(text).items() if record.get("verified")}
        except FileNotFoundError:
            self._records = {}
        except (OSError, ValueError, AttributeError) as error:
            raise ArtifactError(
                f"{folder / RECORDS} cannot be read ({error}); delete it and run `make artifacts`"
            ) from error

    def has(self, name: str) -> bool:
        """Return whether there is such a file."""
        return (self.folder / name).is_file()

    def verified(self, name: str) -> dict[str, str]:
        """Return what a file is: its ``sha256``, its ``origin``, and how it was ``verified``.

        Raises:
            ArtifactError: nobody has verified the file, or it is not what it was then.
        """
        path, record = self.folder / name, self._records.get(name)
        if record is None:
            raise ArtifactError(
                f"{path} was never verified: {RECORDS} beside it does not list it; run `make artifacts`, with PINS=FILE "
                "for a file of your own (docs/artifacts.md)"
            )
        sha256 = sha256_of(path)
        if sha256 != record["sha256"]:
            raise ArtifactError(
                f"{path} was changed after it was verified: sha256 {sha256}, expected {record['sha256']}; delete it and "
                "run `make artifacts`"
            )
        return {"sha256": sha256, "origin": record["origin"], "verified": record["verified"]}
