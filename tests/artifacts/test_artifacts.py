"""``python -m artifacts`` against releases and a registry on loopback, with the real skopeo."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
import yaml
from releases import Site, digest_of

from artifacts import release
from artifacts.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

ENVOY = "docker.io/envoyproxy/envoy:v1.37-latest"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


def run(command: str, folder: Path, arch: str = "amd64") -> int:
    return main([command, "--arch", arch, "--folder", str(folder)])


def read_archive(path: Path) -> dict[str, bytes]:
    unpacked = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def test_all_is_downloaded_and_verified_and_a_second_run_asks_for_nothing(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("download", folder) == 0
    assert sorted(path.name for path in folder.iterdir() if path.name != ".lock") == [
        "artifacts.json",
        "k3s",
        "k3s-airgap-images-amd64.tar.zst",
        "knative-images-amd64.tar.zst",
        "kourier.yaml",
        "serving-core.yaml",
        "serving-crds.yaml",
        "sha256sum-amd64.txt",
    ]
    assert os.access(folder / "k3s", os.X_OK)
    output = capsys.readouterr().out
    assert "k3s: downloaded, verified" in output
    assert "serving-core.yaml: downloaded, the first download is trusted; its sha256 is recorded" in output
    assert "7 of 7 usable" in output
    asked = len(released.requests)
    assert run("download", folder) == 0
    assert len(released.requests) == asked
    assert ": downloaded" not in capsys.readouterr().out


def test_the_archive_names_each_image_as_the_releases_do(released: Site, folder: Path) -> None:
    assert run("download", folder) == 0
    files = read_archive(folder / "knative-images-amd64.tar.zst")
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{digest_of(content)}"
    entries = {
        entry["annotations"]["io.containerd.image.name"]: entry["digest"]
        for entry in json.loads(files["index.json"])["manifests"]
    }
    core = yaml.safe_load((folder / "serving-core.yaml").read_text("utf-8").split("---")[0])
    named = [container["image"] for container in core["spec"]["template"]["spec"]["containers"]]
    envoy = digest_of(released.files["/v2/envoyproxy/envoy/manifests/v1.37-latest"])
    assert entries == {
        **{image: image.partition("@")[2] for image in named},
        ENVOY: f"sha256:{envoy}",
        f"docker.io/envoyproxy/envoy@sha256:{envoy}": f"sha256:{envoy}",
    }
    configurations = [json.loads(content) for content in files.values() if b'"rootfs"' in content]
    assert [configuration["architecture"] for configuration in configurations] == ["amd64"] * 3
    layers = [content for content in files.values() if content.startswith(b"\x1f\x8b")]
    assert len(layers) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="skopeo gives an archive's files their owners, which needs root")
def test_an_image_of_the_archive_can_be_read_by_the_name_its_release_gives_it(
    released: Site, folder: Path, tmp_path: Path
) -> None:
    assert run("download", folder, "arm64") == 0
    tar = tmp_path / "images.tar"
    subprocess.run(["zstd", "-dq", folder / "knative-images-arm64.tar.zst", "-o", tar], check=True)
    image = next(
        row.split()[-1]
        for row in (folder / "serving-core.yaml").read_text("utf-8").splitlines()
        if row.strip().startswith("queue-sidecar-image:")
    )
    told = subprocess.run(
        ["skopeo", "--override-arch", "arm64", "inspect", f"oci-archive:{tar}:{image}"], check=True, capture_output=True
    )
    assert json.loads(told.stdout)["Architecture"] == "arm64"


def test_the_same_images_make_the_same_archive(released: Site, folder: Path, tmp_path: Path) -> None:
    assert run("download", folder) == 0
    assert run("download", tmp_path / "again") == 0
    name = "knative-images-amd64.tar.zst"
    assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_both_architectures_are_one_option(released: Site, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("download", folder, "all") == 0
    assert "11 of 11 usable" in capsys.readouterr().out
    assert (folder / "k3s-arm64").exists()
    tagged = [path for path, _ in released.requests if path.endswith("/manifests/v1.37-latest")]
    assert len(tagged) == 1, "a tag is looked up once: both architectures are of one index"


def test_what_is_missing_is_listed_and_an_exit_code(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("list", folder) == 1
    assert "0 of 7 usable; run: make artifacts" in capsys.readouterr().out
    assert run("download", folder) == 0
    (folder / "kourier.yaml").unlink()
    capsys.readouterr()
    assert run("list", folder) == 1
    rows = {row.split()[0]: row for row in capsys.readouterr().out.splitlines()[1:-1]}
    assert rows["kourier.yaml"].endswith("missing")
    assert rows["k3s"].endswith("verified")


def test_a_damaged_file_is_listed_and_downloaded_again(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("download", folder) == 0
    good = (folder / "k3s").read_bytes()
    (folder / "k3s").write_bytes(good[:-1] + b"?")
    capsys.readouterr()
    assert run("list", folder) == 1
    assert "damaged or tampered with" in capsys.readouterr().out
    assert run("download", folder) == 0
    assert (folder / "k3s").read_bytes() == good


def test_a_tampered_binary_never_gets_its_name(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "/k3s-io/k3s/releases/download/v1.34.3+k3s1/k3s"
    released.files[path] = released.files[path][:-1] + b"?"
    assert run("download", folder) == 1
    assert "/k3s: expected sha256" in capsys.readouterr().err
    assert not (folder / "k3s").exists()


def test_a_file_that_changes_after_its_first_download_is_refused(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("download", folder) == 0
    (folder / "kourier.yaml").unlink()
    path = "/knative-extensions/net-kourier/releases/download/knative-v1.23.0/kourier.yaml"
    released.files[path] += b"# changed\n"
    assert run("download", folder) == 1
    assert "kourier.yaml: expected sha256" in capsys.readouterr().err


def test_a_pin_wins_over_what_was_seen_first(
    released: Site, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pinned = tmp_path / "checksums.yml"
    pinned.write_text(yaml.safe_dump({"artifacts_sha256": {"kourier.yaml": "0" * 64}}), "utf-8")
    real = release.load
    monkeypatch.setattr(release, "load", lambda architectures: real(architectures, [*release.SOURCES, pinned]))
    assert run("download", folder) == 1
    assert f"expected sha256 {'0' * 64}" in capsys.readouterr().err


def test_another_version_replaces_the_old_ones_files(
    released: Site, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("download", folder) == 0
    old, new = (f"/k3s-io/k3s/releases/download/{version}" for version in ("v1.34.3+k3s1", "v1.35.0+k3s1"))
    binary = b"the next version" * 1000
    images = released.files[f"{old}/k3s-airgap-images-amd64.tar.zst"]
    released.files |= {
        f"{new}/k3s": binary,
        f"{new}/k3s-airgap-images-amd64.tar.zst": images,
        f"{new}/sha256sum-amd64.txt": (
            f"{digest_of(binary)}  k3s\n{digest_of(images)}  k3s-airgap-images-amd64.tar.zst\n".encode()
        ),
    }
    versions = tmp_path / "versions.yml"
    versions.write_text("k3s_version: v1.35.0+k3s1\n", "utf-8")
    real = release.load
    monkeypatch.setattr(release, "load", lambda architectures: real(architectures, [*release.SOURCES, versions]))
    capsys.readouterr()
    assert run("list", folder) == 1
    assert "of another version" in capsys.readouterr().out
    assert run("download", folder) == 0
    assert (folder / "k3s").read_bytes() == binary


def test_a_folder_filled_by_hand_can_be_used_and_is_listed_as_such(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("download", folder) == 0
    (folder / "artifacts.json").unlink()
    capsys.readouterr()
    assert run("list", folder) == 0
    rows = {row.split()[0]: row for row in capsys.readouterr().out.splitlines()[1:-1]}
    assert rows["k3s"].endswith("put here by hand, verified")
    assert rows["kourier.yaml"].endswith("put here by hand, not verified: no checksum is known")


def test_images_that_were_pulled_are_not_pulled_again(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = next(path for path in released.files if path.startswith("/v2/knative-releases/serving/queue/blobs"))
    whole = released.files.pop(broken)
    assert run("download", folder) == 1
    assert "skopeo cannot pull gcr.io/knative-releases/serving/queue@sha256:" in capsys.readouterr().err
    assert not (folder / "knative-images-amd64.tar.zst").exists()
    released.files[broken] = whole
    released.requests.clear()
    assert run("download", folder) == 0
    assert not [path for path, _ in released.requests if "/activator/" in path]


def test_an_image_of_another_digest_is_refused(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in released.files:
        if path.startswith("/v2/knative-releases/serving/queue/manifests"):
            released.files[path] += b" "
    assert run("download", folder) == 1
    assert "knative-releases/serving/queue@sha256:" in capsys.readouterr().err


def test_without_skopeo_the_error_names_the_package(
    released: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert run("download", folder) == 1
    assert "images need the program skopeo; install it: apt-get install skopeo" in capsys.readouterr().err


def test_a_full_disk_while_packing_is_a_sentence(
    released: Site, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # /dev/full is what a full disk says.
    folder.mkdir()
    (folder / "knative-images-amd64.tar.zst.partial").symlink_to("/dev/full")
    assert run("download", folder) == 1
    assert "cannot be written (zstd's message is above); is there room?" in capfd.readouterr().err


def test_two_downloads_into_one_folder_do_not_meet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from filelock import FileLock  # noqa: PLC0415

    folder.mkdir()
    with FileLock(folder / ".lock"):
        assert run("download", folder) == 1
    assert "another download into" in capsys.readouterr().err


def test_an_unknown_architecture_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", folder, "riscv64") == 1
    assert "unsupported architecture riscv64: expected ARCH=amd64, arm64 or all" in capsys.readouterr().err


def test_a_record_that_cannot_be_read_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.mkdir()
    (folder / "artifacts.json").write_text("[1]", "utf-8")
    assert run("list", folder) == 1
    assert "artifacts.json cannot be read" in capsys.readouterr().err


def test_the_default_folder_is_the_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from artifacts.folder import default_path  # noqa: PLC0415

    monkeypatch.setenv("FAASBED_ARTIFACTS", str(tmp_path))
    assert default_path() == tmp_path
    monkeypatch.delenv("FAASBED_ARTIFACTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "faasbed" / "artifacts"
