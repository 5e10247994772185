"""Nodes in the guest: the role's modules run in forks of one process, for Python starts slowly there."""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.module_utils import basic
from wires import ROLE, SHIPPED, ModuleFailedError, Wires

ansible.module_utils.__path__.extend(SHIPPED)

# For the forks: what the modules import.
from ansible.module_utils.netem import gate, lease, probe  # noqa: E402, F401

CLONE_NEWNET = 0x40000000


class Nodes(Wires):
    """Namespaces as `Wires` makes them."""

    def module(self, node: str, name: str, **options: Any) -> dict[str, Any]:
        if options.get("wrapped"):
            return super().module(node, name, **options)
        check = options.pop("check", False)
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(theirs, 1)
            os.closerange(3, 64)
            try:
                self._enter(node)
                arguments = {"ANSIBLE_MODULE_ARGS": {**options, "node": node, "_ansible_check_mode": check}}
                basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = json.dumps(arguments).encode(), "legacy"  # type: ignore[attr-defined]
                runpy.run_path(str(ROLE / "library" / f"{name}.py"), run_name="__main__")
            except SystemExit:
                sys.stdout.flush()
            except BaseException:  # noqa: BLE001  (whatever it is, this process must not go on as the other one does)
                os.write(1, json.dumps({"failed": True, "msg": traceback.format_exc()}).encode())
            os._exit(0)
        os.close(theirs)
        with os.fdopen(ours, encoding="utf-8") as said:
            result: dict[str, Any] = json.loads(said.read())
        os.waitpid(child, 0)
        if result.get("failed"):
            raise ModuleFailedError(result["msg"])
        return result

    def _enter(self, node: str) -> None:
        space = os.open(Path("/run/netns", f"{self.prefix}-{node}"), os.O_RDONLY)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(space, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {node}")
