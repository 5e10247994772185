"""The guest's first process: makes it a machine with netem, runs a program on it, and switches it off."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import termios
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uml import modules

if TYPE_CHECKING:
    from collections.abc import Callable

# What the host takes from the console: a line with JSON for each message, and one without for the program's end.
MESSAGE, END = "MESSAGE ", "END"
NETWORK = ("bridge", "veth", "vxlan")
SHAPING = ("sch_htb", "sch_netem", "sch_ingress", "sch_tbf", "cls_u32", "act_mirred")
POWER_OFF = 0x4321FEDC


def run(program: Callable[[], None]) -> None:
    """Run a program on the guest as its first process, which must not end by itself."""
    try:
        prepare()
        program()
        print(END, flush=True)
    except BaseException:  # noqa: BLE001  (whatever it is, the machine has to go off and the host has to show it)
        traceback.print_exc()
    termios.tcdrain(1)  # what the console still holds goes off with the machine
    ctypes.CDLL(None).reboot(POWER_OFF)


def send(message: Any) -> None:
    """Send the host a message, of JSON's types."""
    print(MESSAGE + json.dumps(message), flush=True)


def prepare() -> None:
    """Mount what programs expect, load what links are made of."""
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ["TMPDIR"] = "/run"  # and nothing over /tmp: the checkout may lie there
    for kind, where in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run")):
        subprocess.run(["mount", "-t", kind, kind, where], check=True)
    # Beyond this many pages TCP keeps every window at four segments; by itself a guest so small has 32 MB of them.
    Path("/proc/sys/net/ipv4/tcp_mem").write_text("65536 65536 98304", encoding="ascii")
    modules.load(*NETWORK, *SHAPING)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
