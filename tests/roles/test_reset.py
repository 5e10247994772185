"""A reset goes on past what stands in its way on a node, and tells of it at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testbed import TrialLab

pytestmark = pytest.mark.lab(judges_links=False)
# As nodes of somebody's own are reset: role by role, and the nodes stay.
RESET = ("playbooks/reset.yml", "-e", "lab_kind=own")


def test_a_reset_goes_on_past_an_obstacle_and_names_it(lab: TrialLab) -> None:
    state = lab.state_dir
    # A driver's folder on a node that has lost the driver's code, so that it cannot be asked to stop.
    lab.ssh("bs", f"mkdir -p {state}/driver/some-run {state}/runtime/left")
    lab.ssh("edge-1", f"mkdir -p {state}/function/left")
    refused = lab.playbook(*RESET)
    assert refused.returncode != 0
    assert "Stop a driver that still measures" in refused.stdout
    assert "All else is removed from bs; mend this and run it again." in " ".join(refused.stdout.split())
    assert lab.ssh("bs", f"test -e {state}/runtime").returncode != 0, "what comes after the obstacle is removed"
    assert lab.ssh("edge-1", f"test -e {state}/function").returncode != 0
    lab.ssh("bs", f"rm -r {state}/driver")
    assert lab.playbook(*RESET).returncode == 0
