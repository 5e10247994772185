"""Settings of the kernel that labs of containers share: each lab has the first record, and the last one puts it back."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ansible.module_utils.lab import machine
from ansible.module_utils.lab.containers import missing_cgroups, sysctls
from ansible.module_utils.lab.ledger import Ledger, read_ledger
from ansible.module_utils.lab.plan import Lab, make_lab
from lab_containers import kernel_as_before, made
from test_lab_plan import PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Iterator

PANIC = "kernel/panic"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a lab's folder is root's")


@pytest.fixture
def labs() -> Iterator[tuple[Lab, Lab]]:
    """Two labs, of which nothing is made; their folders stand where only root may write, as labs' have to."""
    place = Path(f"/var/lib/faasbed-kernel-{os.getpid()}")
    parameters = PARAMETERS | {"folder": str(place / "first"), "prefix": "fa"}
    yield make_lab(parameters, [0]), make_lab(parameters | {"folder": str(place / "second"), "prefix": "fb"}, [0])
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands where podman is asked for its containers; a test writes the listing, as podman prints it."""
    program, listing = tmp_path / "bin" / "podman", tmp_path / "listing.json"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$1" = ps ] && exec cat {listing}\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setattr(machine, "ENVIRONMENT", machine.ENVIRONMENT | {"PATH": f"{program.parent}:/usr/bin:/bin"})
    listing.write_text("[]")
    return listing


def listed(podman: Path, *labs: Lab) -> None:
    """Let a container of each of these labs stand, and one of nobody's."""
    entries = [
        {"Names": [f"{lab.prefix}-bs"], "Labels": {"faasbed.lab": str(lab.folder)}, "State": "running", "Pid": 1}
        for lab in labs
    ]
    podman.write_text(json.dumps([*entries, {"Names": ["other"], "Labels": None, "State": "exited", "Pid": 0}]))


def other_value() -> str:
    return "7" if sysctls()[PANIC] != "7" else "8"


def test_the_record_of_a_lab_made_beside_another_is_that_of_the_first(labs: tuple[Lab, Lab], podman: Path) -> None:
    first, second = labs
    assert made(first, None).sysctls == sysctls(), "nobody else has nodes: it is as it was before all of them"
    assert made(first, None).cgroups == missing_cgroups()
    earlier = sysctls() | {PANIC: other_value()}
    Ledger(machine.boot(), "", (), (), (), sysctls=earlier, cgroups=("/sys/fs/cgroup/x",)).write(Path(first.folder))
    listed(podman, first)
    made(second, None).write(Path(second.folder))
    known = read_ledger(Path(second.folder))
    assert known is not None
    assert (known.sysctls, known.cgroups) == (earlier, ("/sys/fs/cgroup/x",))
    # What a lab has recorded itself it keeps, whoever comes and goes.
    listed(podman, second)
    assert made(first, read_ledger(Path(first.folder))).sysctls == earlier


def test_settings_are_put_back_by_the_last_lab_only(labs: tuple[Lab, Lab], podman: Path) -> None:
    first, second = labs
    ledger = Ledger(machine.boot(), "", (), (), (), sysctls={PANIC: other_value()})
    listed(podman, first, second)
    assert kernel_as_before(Path(first.folder), ledger) == []
    listed(podman, second)
    assert [change.sentence for change in kernel_as_before(Path(second.folder), ledger)] == [
        f"set kernel.panic to {other_value()}"
    ]
