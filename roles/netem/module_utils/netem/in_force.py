"""Whether the links that leave this node are in force: a program for whoever measures over them.

It is left on the node beside the lease, and prints JSON: ``links``, which stays the same as long as the same links are in
force, ``problem``, a sentence or null, and ``delays``, the lowest, the mean and the standard deviation of what each link
adds, by target.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.node.errors import NodeError

from .changes import Changer, left_changed
from .lease import Lease, alone
from .shaping import Shaping


def in_force(interface: str, folder: Path, program: str) -> dict[str, Any]:
    """Return what the links are, as a word, why they are not in force, or None, and what delays they add.

    Args:
        interface: the data interface.
        folder: where this node keeps what the role leaves on it.
        program: the emulator's path on this node.
    """
    lease, shaping = Lease(interface, folder, program), Shaping(interface, folder, program)
    changer = Changer(interface, folder, program)
    text = shaping.applied()
    if text is None:
        return {"links": None, "problem": lease.lapsed() or f"no links are in force on {interface}", "delays": {}}
    links = hashlib.sha256(text.encode()).hexdigest()[:16]
    left_s = lease.left_seconds()
    expired = "the lease of the links has expired" if left_s is not None and left_s <= 0 else None
    # Without what the path takes by itself, where that is a part of the link: it may take less at times.
    delays = {target: asdict(shaped.made.delay.drawn) for target, shaped in shaping.recorded().items()}
    try:
        problem = lease.lapsed() or expired or shaping.drift() or left_changed(shaping, changer)
    except NodeError as error:
        problem = str(error)
    return {"links": links, "problem": problem, "delays": delays}


if __name__ == "__main__":
    with alone(Path(sys.argv[2])):  # not half-way through a planned change
        print(json.dumps(in_force(sys.argv[1], Path(sys.argv[2]), sys.argv[3])))
