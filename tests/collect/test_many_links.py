"""The links of a large testbed are summed up by kind, and none of them is left out."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from generated_run import RUN, all_records, link_check, write_run

from collect.analysis import summary
from collect.folder import RunFolder
from collect.report.page import render
from collect.run import load

if TYPE_CHECKING:
    from pathlib import Path


def many(seed: int, *, off: bool = False) -> dict[str, Any]:
    random = Random(seed)
    nodes = [f"edge-{number + 1}" for number in range(6)]
    checks = [link_check(a, b, 1.25, 0.25, 0.02, random, ok=True) for a in nodes for b in nodes if a != b]
    checks += [link_check("bs", node, 15, 3, 0.24, random, ok=not (off and node == "edge-4")) for node in nodes]
    checks[0] |= {"tcp": {"mbit": 321.0, "formula_mbit": 400.0}}
    return {"schema": 2, "taken_at": "2026-11-29T01:00:00+00:00", "backend": "emulator", "links": checks}


@pytest.mark.parametrize("off", [False, True])
def test_many_links_are_summed_up_by_kind_and_unfolded_where_one_is_off(tmp_path: Path, off: bool) -> None:
    folder = write_run(tmp_path, all_records())
    for moment, verification in (("before", many(1)), ("after", many(2, off=off))):
        (folder / "links" / f"{moment}.json").write_text(json.dumps(verification))
    run = load(RunFolder(folder))
    page = " ".join(render(run, summary.analyse(RUN, run.measurements), {}).split())
    assert '<th scope="row" class="number">1.25 ms ± 0.25 ms, 0.02 % loss</th><td>before</td>' in page
    assert '<span class="ok">30 of 30</span>' in page
    assert ('<span class="problem">5 of 6</span>' in page) == off
    assert "<small>1 of 30 links</small>" in page, "TCP went over a sample"
    assert f"<details{' open' if off else ''}> <summary>All 36 links</summary>" in page
    assert page.count("bs → edge-4<br>") == 1
