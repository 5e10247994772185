"""Nodes in the guest: the role's modules run in forks of one process, for Python starts slowly there."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import ansible.module_utils
from ansible.module_utils import basic
from wires import ROLE, SHIPPED, ModuleFailedError, Wires

CLONE_NEWNET = 0x40000000
# Where Ansible puts the role's code when it sends a module to a node.
ansible.module_utils.__path__.extend(SHIPPED)
sys.path.append(str(ROLE / "library"))


class Nodes(Wires):
    """Namespaces as `Wires` makes them."""

    def module(self, node: str, name: str, **options: Any) -> dict[str, Any]:
        """Run a module of the role on a node, and return its result."""
        if options.get("wrapped"):
            return super().module(node, name, **options)
        module = importlib.import_module(name)  # once, for all forks
        arguments = {"_ansible_check_mode": options.pop("check", False), "node": node, **options}
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writing, 1)
            os.closerange(3, 64)
            sys.stdout = os.fdopen(1, "w", encoding="utf-8")  # and not what keeps a test's output
            try:
                self._enter(node)
                basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()  # type: ignore[attr-defined]
                basic._ANSIBLE_PROFILE = "legacy"  # type: ignore[attr-defined]
                module.main()
            except SystemExit:
                sys.stdout.flush()
            except BaseException:  # noqa: BLE001  (whatever it is, this process must not go on as the other one does)
                os.write(1, json.dumps({"failed": True, "msg": traceback.format_exc()}).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as output:
            result: dict[str, Any] = json.loads(output.read())
        os.waitpid(child, 0)
        if result.get("failed"):
            raise ModuleFailedError(result["msg"])
        return result

    def _enter(self, node: str) -> None:
        space = os.open(Path("/run/netns", f"{self.prefix}-{node}"), os.O_RDONLY)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(space, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {node}")
