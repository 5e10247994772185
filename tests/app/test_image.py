"""The image: what is read of an archive, and a real one, built, started and trained with."""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml
import zstandard
from replica import eventually

from app import image as image_module
from app.image import Archive, ImageError, commands, find_engine, read_archive
from app.serving.compiled import compiling_alone, unpack

if TYPE_CHECKING:
    from image import BuiltImage


def archive(path: Path, layers: list[bytes], images: int = 1) -> Path:
    """An OCI archive of these layers, under made-up digests."""
    blobs = {f"sha256:{number}": layer for number, layer in enumerate(layers)}
    manifest = {"layers": [{"digest": digest, "size": len(layer)} for digest, layer in blobs.items()]}
    index = {"manifests": [{"digest": "sha256:image"}] * images}
    files = {f"blobs/{digest.replace(':', '/')}": layer for digest, layer in blobs.items()}
    files |= {"blobs/sha256/image": json.dumps(manifest).encode(), "index.json": json.dumps(index).encode()}
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_an_archive_tells_its_digest_and_its_size_packed_and_unpacked(tmp_path: Path):
    packed = [gzip.compress(b"x" * 3_000_000), zstandard.compress(b"y" * 2_000_000), b"plain"]
    built = read_archive(archive(tmp_path / "image.tar", packed))
    assert built == Archive("sha256:image", sum(map(len, packed)), 5_000_005)


def test_an_archive_of_two_images_is_refused(tmp_path: Path):
    with pytest.raises(ImageError, match="2 images"):
        read_archive(archive(tmp_path / "image.tar", [], images=2))


def test_the_first_engine_that_works_is_taken():
    assert find_engine(lambda engine: engine != "buildah") == "podman"
    with pytest.raises(ImageError, match="apt-get install"):
        find_engine(lambda _: False)


@pytest.mark.parametrize("engine", ["buildah", "podman", "docker"])
def test_every_engine_ends_with_an_oci_archive(engine: str):
    ran = commands(engine, Path("context"), Path("out.tar"), ["--platform", "linux/arm64"])
    assert all(command[0] == engine for command in ran)
    assert "out.tar" in ran[-1][-1] or any(word.startswith("type=oci,dest=out.tar,") for word in ran[-1])
    assert any("linux/arm64" in command for command in ran)


@pytest.mark.parametrize(("architecture", "wheels"), [("amd64", "x86_64"), ("arm64", "aarch64")])
def test_an_architecture_has_its_own_wheels_and_platform_and_any_image_the_commit_and_base(
    architecture: str, wheels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ran: list[list[str]] = []
    monkeypatch.setattr(image_module, "_run", lambda command: ran.append(list(command)))
    monkeypatch.setattr(image_module, "_has", lambda *_: False)
    monkeypatch.setattr(image_module, "_revision", lambda: "c0ffee")
    monkeypatch.setattr(image_module, "read_archive", lambda _: Archive("sha256:image", 1, 2))
    assert image_module.build("buildah", tmp_path / "build", architecture, "localhost/base") == Archive(
        "sha256:image", 1, 2
    )
    download, build, _ = ran
    assert download[1:4] == ["-m", "pip", "download"]
    assert {"--require-hashes", "--only-binary=:all:", f"--platform=manylinux_2_28_{wheels}"} <= set(download)
    assert build[build.index("--platform") + 1] == f"linux/{architecture}"
    assert "--label=org.opencontainers.image.revision=c0ffee" in build
    assert "BASE_IMAGE=localhost/base" in build
    assert "--network=none" in build
    assert (tmp_path / "build" / "function.base").read_text() == "localhost/base\n"
    assert (tmp_path / "build" / "function.digest").read_text() == "sha256:image\n"


def test_the_commit_says_so_where_the_functions_files_differ_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_module, "FOLDER", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert image_module._revision() == "unknown"

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "function.py").write_text("one")
    git("add", "function.py")
    git("commit", "--quiet", "--message", "one")
    commit = git("rev-parse", "HEAD")
    assert image_module._revision() == commit
    (tmp_path / "function.py").write_text("two")
    assert image_module._revision() == f"{commit}-dirty"


def test_shipped_kernels_are_put_where_numba_may_write(tmp_path: Path):
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped" / "kernel.nbi").write_text("code")
    environment = {"FUNCTION_COMPILED": str(tmp_path / "shipped"), "TMPDIR": str(tmp_path)}
    unpack(environment)
    assert (Path(environment["NUMBA_CACHE_DIR"]) / "kernel.nbi").read_text() == "code"


def test_without_shipped_kernels_nothing_changes():
    environment = {"PATH": "/bin"}
    unpack(environment)
    assert environment == {"PATH": "/bin"}


def is_taken(folder: Path) -> bool:
    """Whether somebody compiles into this folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def test_one_process_compiles_into_a_folder_at_a_time(tmp_path: Path):
    with compiling_alone({"NUMBA_CACHE_DIR": str(tmp_path / "made" / "here")}):
        assert is_taken(tmp_path / "made" / "here")
    assert not is_taken(tmp_path / "made" / "here")


@pytest.mark.parametrize("folder", [{}, {"NUMBA_CACHE_DIR": "/proc/nowhere"}])
def test_a_folder_that_cannot_be_shared_keeps_nobody_waiting(folder: dict[str, str]):
    with compiling_alone(folder):
        pass


def test_the_base_is_pinned_by_digest_and_the_program_started_without_a_shell(root: Path):
    dockerfile = (root / "app" / "Dockerfile").read_text()
    assert re.search(r"^ARG BASE_IMAGE=\S+@sha256:[0-9a-f]{64}$", dockerfile, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["python3", "-m", "app"\]$', dockerfile, re.MULTILINE)
    assert re.search(r"^USER \d+:\d+$", dockerfile, re.MULTILINE)


def test_every_room_of_the_function_is_in_the_image_and_on_the_nodes(root: Path):
    folder = root / "app"
    rooms = {module.parent.relative_to(folder) for module in folder.rglob("*.py")}
    copied = re.findall(r"^COPY (\w+) /function/app/\1$", (folder / "Dockerfile").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted({room.parts[0] for room in rooms if room.parts})
    shipped = yaml.safe_load((root / "roles" / "runtime" / "defaults" / "main.yml").read_text())["runtime_globs"]
    assert {str(Path("app", room, "*.py")) for room in rooms} <= set(shipped)


def test_the_builds_context_has_every_module_in_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_module, "_run", lambda _: None)
    image_module._fill(tmp_path, "amd64")
    modules = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.py")}
    assert modules == {path.relative_to(image_module.FOLDER) for path in image_module.FOLDER.rglob("*.py")}
    assert {"Dockerfile", "requirements.txt"} <= {path.name for path in tmp_path.iterdir()}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_an_image_on_debian_packages_starts_read_only_without_a_shell_and_trains(
    function_image: BuiltImage, news: Path, tmp_path: Path
):
    run = function_image.run
    built = read_archive(function_image.build / "function.oci.tar")
    assert (function_image.build / "function.digest").read_text() == built.digest + "\n"
    assert built.digest in function_image.output
    assert built.packed_bytes < 250e6
    print(built)
    image = "localhost/faasbed-function:latest"
    (about,) = json.loads(run("podman", "image", "inspect", image))
    assert re.match(r"[0-9a-f]{40}", about["Labels"]["org.opencontainers.image.revision"])

    port = free_port()
    no_shell = [f"--volume=/dev/null:/usr/bin/{name}:ro" for name in ("dash", "bash")]
    no_write = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges"]
    where = ["--network=host", "--env=FUNCTION_HOST=127.0.0.1", f"--env=FUNCTION_PORT={port}"]
    container = run("podman", "run", "--detach", *no_shell, *no_write, *where, image).strip()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as client:

            def ready() -> bool:
                try:
                    return client.get("/readyz").status_code == 200
                except httpx.TransportError:
                    return False

            seconds = eventually(ready, "the image's readiness", 120)
            request = json.loads(news.read_text())
            replies = {}
            for options in ({"model": "pac"}, {"model": "log"}, {"model": "svc"}, {"model": "mnb", "engine": "plain"}):
                response = client.post("/", json=request | {"repeats": 1} | options)
                assert response.status_code == 200, run("podman", "logs", container)
                replies[options["model"]] = response.json()["accuracy (test)"]
            print(f"ready after {seconds:.1f} s; test accuracies {replies}")
            assert all(accuracy > 0.7 for accuracy in replies.values())
        assert run("podman", "exec", container, "python3", "-c", "import os; print(os.getuid())") == "65532\n"
        run("podman", "stop", "--time=20", container)
        (about,) = json.loads(run("podman", "inspect", container))
        assert about["State"]["ExitCode"] == 0
    finally:
        run("podman", "rm", "--force", container)
    copy = shutil.copytree(function_image.build, tmp_path / "build")
    run(sys.executable, "-m", "app.image", "--remove", "--output", str(copy))
    assert image.removesuffix(":latest") not in run("podman", "images", "--format={{.Repository}}").split()
    assert {path.name for path in copy.iterdir()} <= {"output"}
