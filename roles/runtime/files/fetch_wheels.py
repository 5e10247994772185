"""Fetch the locked wheels for a node's Python into one archive: requirements, folder, Python version, machine.

Prints ``{"changed": ..., "archive": path, "name": ...}``. The archive is named by what decides its content, and gets
that name when it is whole; inside, a file of that name marks the folder ``wheels``.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

# The names under which PyPI has wheels for Linux (PEP 600): up to Debian 12's glibc.
GLIBCS = (*(f"manylinux_2_{minor}" for minor in range(36, 16, -1)), "manylinux2014")


def main(requirements: Path, folder: Path, python: str, machine: str) -> int:
    """Fetch what is missing; pip's own words are printed where it fails."""
    decides = f"{python} {machine}\n".encode() + requirements.read_bytes()
    name = f"wheels-cp{python.replace('.', '')}-{machine}-{hashlib.sha256(decides).hexdigest()[:12]}"
    archive = folder / f"{name}.tar"
    changed = not archive.exists()
    if changed:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            wheels = Path(scratch) / "wheels"
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--require-hashes", "--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
            command += [f"--platform={glibc}_{machine}" for glibc in GLIBCS]
            command += ["--dest", str(wheels), "--requirement", str(requirements)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                print(f"the wheels for Python {python} on {machine} could not be fetched: {last}", file=sys.stderr)
                return 1
            (wheels / name).touch()
            partial = Path(scratch) / archive.name
            with tarfile.open(partial, "w") as packed:
                packed.add(wheels, arcname="wheels")
            partial.replace(archive)
    print(json.dumps({"changed": changed, "archive": str(archive), "name": name}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]))
