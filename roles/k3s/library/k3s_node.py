#!/usr/bin/python
"""Ansible module: install, configure and start k3s on one node, in one step."""

from __future__ import annotations

import json
import os
import shutil
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.k3s.machine import Sums
from ansible.module_utils.node import files
from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.process import attempt, run
from ansible.module_utils.urls import open_url

DOCUMENTATION = r"""
module: k3s_node
short_description: Install, configure and start k3s on a node
description:
  - Writes files, fetches artifacts, checks their SHA-256 and starts the unit without waiting for it.
  - A running unit is not restarted; C(restart) tells that it has to be.
options:
  unit: {description: Name of the systemd unit., type: str, required: true}
  start: {description: Whether the unit is to be enabled and running., type: bool, default: true}
  state_dir: {description: Where the role keeps its files on the node., type: path, required: true}
  texts: {description: "Text by path; the mode is 0600 under /etc/rancher, else 0644.", type: dict, default: {}}
  token: {description: The cluster's secret., type: str}
  token_path: {description: Where k3s reads it., type: path}
  registries: {description: Text of registries.yaml; no such file when empty., type: str}
  registries_path: {description: Where k3s reads it., type: path}
  files: {description: The artifacts as k3s_artifacts returns them., type: list, elements: dict, default: []}
  shared: {description: URL by path of files that another node shares., type: dict, default: {}}
  before: {description: What the node was before a cluster; written once., type: dict, default: {}}
author: [faasbed]
"""
EXAMPLES = r"""
- name: Install and start k3s
  k3s_node:
    unit: faasbed-k3s
    state_dir: /var/lib/faasbed/k3s
    texts: {/etc/rancher/k3s/config.yaml: "node-name: edge-1\n"}
"""
RETURN = r"""
restart: {description: Whether a running k3s has yet to be restarted., type: bool, returned: always}
"""

FETCH_TIMEOUT_S = 30
CHUNK_BYTES = 2**20


class Node:
    """The state of the node, compared with the options.

    Args:
        options: the module's parameters.
        dry: only report what would be done.
    """

    def __init__(self, options: dict[str, Any], *, dry: bool) -> None:
        self._options = options
        self._dry = dry
        self._sums = Sums(Path(options["state_dir"]) / "sums.json")
        self._changed = Path(options["state_dir"]) / "changed.json"
        self.diffs: list[dict[str, str]] = []

    def write(self, path: Path, text: str, mode: int, *, secret: bool = False) -> bool:
        """Make a file hold a text; return whether it had to be changed."""
        old = path.read_text("utf-8") if path.is_file() else ""
        if path.is_file() and old == text and path.stat().st_mode & 0o777 == mode:
            return False
        hidden = "(secret)\n"
        self.diffs.append(
            {
                "before_header": str(path),
                "after_header": str(path),
                "before": hidden if secret and old else old,
                "after": f"new {hidden}" if secret else text,
            }
        )
        if not self._dry:
            self._note_change()
            files.write(path, text, mode)
        return True

    def unlink(self, path: Path) -> bool:
        """Remove a file; return whether it existed."""
        if not path.exists():
            return False
        self.say(f"remove {path}")
        if not self._dry:
            self._note_change()
            path.unlink()
        return True

    def fetch(self, artifact: dict[str, Any]) -> bool:
        """Put an artifact in its place and check its content; return whether it had to be fetched."""
        path, sha256 = Path(artifact["path"]), artifact["sha256"]
        if self._sums.of(path) == sha256:
            if not self._dry:
                self._sums.remember(path, sha256)
            return False
        self.say(f"write {path} ({artifact['name']}, sha256 {sha256[:12]}...)")
        if self._dry:
            return True
        staged = Path(self._options["state_dir"]) / "artifacts" / artifact["name"]
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        partial = files.draft_of(path)
        partial.unlink(missing_ok=True)
        if staged.is_file():
            shutil.move(staged, partial)
            source = "its copy by SSH"
        else:
            source = self._options["shared"].get(str(path)) or artifact["url"]
            self._download(source, partial)
        arrived = Sums(Path(os.devnull)).of(partial)
        if arrived != sha256:
            partial.unlink()
            raise NodeError(
                f"{artifact['name']} arrived damaged from {source}: sha256 {arrived}, expected {sha256}; run the playbook "
                "again"
            )
        partial.chmod(int(artifact["mode"], 8))
        os.chown(partial, 0, 0)
        if needs_restart(path):
            self._note_change()
        partial.replace(path)  # under a running k3s too: the old file lives until its last reader ends
        self._sums.remember(path, sha256)
        return True

    def _download(self, url: str | None, path: Path) -> None:
        if not url:
            raise NodeError(f"no node shares {path.name}; run the playbook for all nodes of the cluster")
        try:
            with open_url(url, timeout=FETCH_TIMEOUT_S, use_proxy=False) as reply, path.open("wb") as file:
                shutil.copyfileobj(reply, file, CHUNK_BYTES)
        except HTTPError as error:
            raise NodeError(f"{url} answers {error.code}; correct k3s_release_url or k3s_version") from error
        except (OSError, HTTPException) as error:
            raise NodeError(
                f"{url} cannot be fetched ({getattr(error, 'reason', error)}); let the nodes reach each other there, "
                "or set k3s_share: false to copy to each of them by SSH"
            ) from error

    def systemd(self, *, reload: bool, changed: bool) -> bool:
        """Enable and start the unit; return whether something that runs has to be restarted for its changes."""
        unit = self._options["unit"]
        enabled = attempt("systemctl", "is-enabled", unit).stdout.strip() == "enabled"
        state = attempt("systemctl", "is-active", unit).stdout.strip()
        if not enabled:
            self.say(f"enable {unit}")
        if state not in {"active", "activating", "reloading"}:
            self.say(f"start {unit}")
        elif not changed and self._is_outdated():
            self.say(f"restart {unit}, which was started before its files were changed")
            changed = True
        if self._dry:
            return changed and state == "active"
        if reload:
            run("systemctl", "daemon-reload")
        if not enabled:
            run("systemctl", "enable", "--quiet", unit)
        if state in {"active", "reloading"}:
            return changed
        if state == "activating" and not changed:
            return False
        # It has never started, or is down: nothing is lost by starting it at once.
        attempt("systemctl", "reset-failed", unit)
        run("systemctl", "restart" if state == "activating" else "start", "--no-block", unit)
        return False

    def _note_change(self) -> None:
        """Keep when the files were changed: a k3s that was started before is found, should nobody restart it now."""
        files.write(self._changed, json.dumps({"boot": boot_id(), "at_us": time.monotonic_ns() // 1000}))

    def _is_outdated(self) -> bool:
        """Return whether the unit was started before its files were last changed."""
        noted = json.loads(files.read(self._changed) or "{}")
        shown = attempt(
            "systemctl", "show", self._options["unit"], "--property=ExecMainStartTimestampMonotonic", "--value"
        )
        started_us = int(shown.stdout.strip() or 0)
        return bool(noted.get("boot") == boot_id() and started_us < noted["at_us"])

    def say(self, sentence: str) -> None:
        """Add a line to the diff."""
        self.diffs.append({"prepared": f"{sentence}\n"})


def needs_restart(path: Path) -> bool:
    """Return whether a running k3s has to be restarted for an artifact: it imports archives of images by itself."""
    return path.suffix not in {".zst", ".gz", ".tar"}


def boot_id() -> str:
    """Return what names the time since the kernel was started."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


def act(options: dict[str, Any], *, dry: bool) -> tuple[list[dict[str, str]], bool]:
    """Bring the node to the state in the options; return the differences, and whether it has to be restarted."""
    node = Node(options, dry=dry)
    ledger = Path(options["state_dir"]) / "before.json"
    if options["before"] and not ledger.exists():
        node.write(ledger, json.dumps(options["before"], indent=1, sort_keys=True) + "\n", 0o644)
    unit_path = f"/etc/systemd/system/{options['unit']}.service"
    # The unit first: it marks the node as faasbed's, should this be interrupted.
    texts = sorted(options["texts"].items(), key=lambda pair: pair[0] != unit_path)
    changed = [
        node.write(Path(path), text.rstrip() + "\n", 0o600 if path.startswith("/etc/rancher") else 0o644)
        for path, text in texts
    ]
    reload = bool(changed and texts[0][0] == unit_path and changed[0])
    for kind in ("token", "registries"):
        path, text = options[f"{kind}_path"], options[kind]
        if path and text:
            changed.append(node.write(Path(path), text, 0o600, secret=True))
        elif path and kind == "registries":
            changed.append(node.unlink(Path(path)))
    fetched = [artifact["path"] for artifact in options["files"] if node.fetch(artifact)]
    changed += [needs_restart(Path(path)) for path in fetched]
    restart = node.systemd(reload=reload, changed=any(changed)) if options["start"] else False
    return node.diffs, restart


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "start": {"type": "bool", "default": True},
            "state_dir": {"type": "path", "required": True},
            "texts": {"type": "dict", "default": {}},
            "token": {"type": "str", "no_log": True},
            "token_path": {"type": "path", "no_log": False},
            "registries": {"type": "str", "no_log": True},
            "registries_path": {"type": "path"},
            "files": {"type": "list", "elements": "dict", "default": []},
            "shared": {"type": "dict", "default": {}},
            "before": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    try:
        diffs, restart = act(module.params, dry=module.check_mode)
    except NodeError as error:
        module.fail_json(msg=f"{error}.")
    module.exit_json(changed=bool(diffs), diff=diffs, restart=restart)


if __name__ == "__main__":
    main()
