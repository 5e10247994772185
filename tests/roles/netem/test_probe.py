"""The prober by itself."""

from __future__ import annotations

import itertools
import os
import select
import threading
from typing import TYPE_CHECKING, Any

from ansible.module_utils.netem import probe

if TYPE_CHECKING:
    import pytest


def test_a_late_prober_never_sends_two_probes_at_once(monkeypatch: pytest.MonkeyPatch):
    calls, never = itertools.count(), threading.Event()
    wait = select.select

    def late(*given: Any) -> Any:
        ready = wait(*given)
        if next(calls) % 7 == 0:
            never.wait(0.009)
        return ready

    with probe.open_socket("127.0.0.1", 0) as taker, probe.open_socket("127.0.0.1", 0) as opened:
        opened.connect(taker.getsockname())
        monkeypatch.setattr(select, "select", late)
        probe._exchange([probe.Peer(opened)], 50, 2)
        arrived = [time_ns for _, time_ns, _ in probe.received(taker)]
    assert len(arrived) == 50 + probe.TAIL
    apart_ms = [(after - before) / 1e6 for before, after in itertools.pairwise(arrived)]
    assert max(apart_ms) > 9, "it was never late"
    assert min(apart_ms) > 0.99
    assert min(apart_ms) < 1.5, "it does not make up for it"


def test_where_a_container_refuses_any_priority_a_plain_one_does(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with probe.open_socket("127.0.0.1", 0) as opened:
        probe.respond([opened], 0.01)


def test_a_responder_ends_in_time_however_many_probes_come(monkeypatch: pytest.MonkeyPatch):
    answered = itertools.count()
    with probe.open_socket("127.0.0.1", 0) as opened, probe.open_socket("127.0.0.1", 0) as sender:
        sender.sendto(probe.PROBE.pack(1, 2, 3), opened.getsockname())
        again = probe.PROBE.pack(1, 2, 3), 4, sender.getsockname()
        monkeypatch.setattr(probe, "receive", lambda _: again if next(answered) >= 0 else None)  # one behind the other
        probe.respond([opened], 0.05)
    assert next(answered) > 1
