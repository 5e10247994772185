"""``python -m artifacts`` against releases and a registry on loopback, with the real skopeo."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
import yaml
from releases import Site, digest_of, pins_of

from artifacts import pins, release
from artifacts.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

ENVOY = "docker.io/envoyproxy/envoy:v1.37-latest"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


def run(command: str, folder: Path, arch: str = "amd64", site: Path | None = None) -> int:
    return main([command, "--arch", arch, "--folder", str(folder), *(["--pins", str(site)] if site else [])])


def recorded(folder: Path) -> dict[str, dict[str, str]]:
    entries: dict[str, dict[str, str]] = json.loads((folder / "artifacts.json").read_text("utf-8"))
    return entries


def pins_file(folder: Path, pinned: dict[str, str]) -> Path:
    path = folder / "pins.yml"
    path.write_text(pins.dump(pinned), "utf-8")
    return path


def unpin(key: str) -> None:
    """Take a pin out of the project's file, as another version would."""
    pinned = yaml.safe_load(pins.PROJECT.read_text("utf-8"))[pins.KEY]
    del pinned[key]
    pins.PROJECT.write_text(pins.dump(pinned), "utf-8")


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
    assert "7 of 7 usable" in output
    words = {row.split()[0]: row.split("MB")[1].strip() for row in output.splitlines() if " MB  " in row}
    assert words == {
        "sha256sum-amd64.txt": "taken over HTTPS, not pinned",
        "k3s": "verified against its release's list, not pinned",
        "k3s-airgap-images-amd64.tar.zst": "verified (pinned)",
        **dict.fromkeys(release.MANIFESTS, "verified (pinned)"),
        "knative-images-amd64.tar.zst": "verified (image digests)",
    }
    assert (
        "knative-images-amd64.tar.zst: signatures and provenance are not verified: the program cosign is not installed"
        in output
    )
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
    assert tagged == [], "a tag is never looked up: its image is pulled by the digest of its pin"


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
    assert rows["k3s"].endswith("verified against its release's list, not pinned")


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


def test_a_list_that_changes_after_its_first_download_is_refused(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("download", folder) == 0
    (folder / "sha256sum-amd64.txt").unlink()
    released.files["/k3s-io/k3s/releases/download/v1.34.3+k3s1/sha256sum-amd64.txt"] += b"\n"
    assert run("download", folder) == 1
    assert "sha256sum-amd64.txt: expected sha256" in capsys.readouterr().err


def test_a_list_that_is_at_odds_with_a_pin_is_refused(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = "/k3s-io/k3s/releases/download/v1.34.3+k3s1/sha256sum-amd64.txt"
    rows = released.files[path].decode().splitlines()
    released.files[path] = f"{rows[0]}\n{'0' * 64}  k3s-airgap-images-amd64.tar.zst\n".encode()
    assert run("download", folder) == 1
    assert f"it lists sha256 {'0' * 64} of k3s-airgap-images-amd64.tar.zst, pinned is" in capsys.readouterr().err
    assert not (folder / "sha256sum-amd64.txt").exists()


def test_what_is_neither_pinned_nor_listed_is_an_error_before_anything_is_downloaded(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unpin("https://github.com/knative/serving/releases/download/knative-v1.23.0/serving-core.yaml")
    assert run("download", folder) == 1
    error = capsys.readouterr().err
    assert "knative-v1.23.0/serving-core.yaml has no pin, so nothing shows that it is what its project" in error
    assert "give its SHA-256 in a pins file, FAASBED_PINS=FILE" in error
    assert released.requests == []


def test_an_image_that_a_tag_names_needs_a_pin(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unpin(ENVOY)
    assert run("download", folder) == 1
    assert f"the image {ENVOY} is named by a tag and has no pin: give its digest in a pins" in capsys.readouterr().err
    assert not [path for path, _ in released.requests if path.startswith("/v2/")]


def test_an_image_that_a_tag_names_is_pulled_by_the_digest_of_its_pin(released: Site, folder: Path) -> None:
    expected = pins_of(released)[ENVOY]
    released.files["/v2/envoyproxy/envoy/manifests/v1.37-latest"] = b"another image has the tag now"
    assert run("download", folder) == 0
    assert recorded(folder)[ENVOY]["sha256"] == expected


def test_a_sites_pins_win_and_are_told(
    released: Site, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = b"apiVersion: v1\nkind: Namespace\nmetadata: {name: of-our-own}\n"
    path = "/knative/serving/releases/download/knative-v1.23.0/serving-crds.yaml"
    released.files[path] = own
    assert run("download", folder) == 1
    assert "serving-crds.yaml: expected sha256" in capsys.readouterr().err
    site = pins_file(tmp_path, {"serving-crds.yaml": digest_of(own)})
    assert run("download", folder, "amd64", site) == 0
    assert recorded(folder)["serving-crds.yaml"]["verified"] == "site's pins"
    capsys.readouterr()
    # It stays what was vouched for, without the file too.
    assert run("list", folder) == 0
    assert "verified (site's pins)" in capsys.readouterr().out


def test_a_folder_filled_by_hand_is_adopted_by_a_pins_file_and_nothing_is_downloaded(
    released: Site, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("download", folder) == 0
    capsys.readouterr()
    assert run("pins", folder) == 0
    site = tmp_path / "pins.yml"
    site.write_text(capsys.readouterr().out, "utf-8")
    assert "compare each SHA-256 with one that was computed on another" in site.read_text("utf-8").replace("\n# ", " ")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("artifacts.json", "sha256sum-*"))
    released.requests.clear()
    assert run("list", copy) == 1
    assert run("download", copy, "amd64", site) == 0
    assert released.requests == []
    assert {(entry["origin"], entry["verified"]) for name, entry in recorded(copy).items() if name != ENVOY} == {
        ("put here by hand", "site's pins")
    }
    assert recorded(copy)[ENVOY]["sha256"] == recorded(folder)[ENVOY]["sha256"]
    capsys.readouterr()
    assert run("list", copy) == 0
    assert "6 of 6 usable" in capsys.readouterr().out


def test_an_archive_that_a_site_pins_has_to_be_there(
    released: Site, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = pins_file(tmp_path, {"knative-images-amd64.tar.zst": "0" * 64})
    assert run("download", folder, "amd64", site) == 1
    assert "is not there, or not the one that the pins file names; put it there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("artifacts_sha256: {k3s: 0123}", "invalid SHA-256 '0123' of k3s: expected 64 hexadecimal digits"),
        ("artifacts_sha256: {k3s: [1]}", "invalid SHA-256 ['1'] of k3s: expected 64 hexadecimal digits"),
        (
            f"artifacts_sha256: {{k3z: {'0' * 64}}}",
            "unknown file 'k3z': expected an https address, an image with its tag",
        ),
        (f"artifacts_sha256: {{'http://a.example/k3s': {'0' * 64}}}", "unknown file 'http://a.example/k3s'"),
        (f"artefacts: {{k3s: {'0' * 64}}}", "expected one key, artifacts_sha256, with a SHA-256 for each file"),
        ("k3s", "expected one key, artifacts_sha256"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_pins_file_that_is_wrong_is_refused_with_the_reason(
    folder: Path, tmp_path: Path, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "pins.yml"
    site.write_text(text, "utf-8")
    assert run("list", folder, "amd64", site) == 1
    error = capsys.readouterr().err
    assert f"error: the pins file {site}" in error
    assert sentence in error


def test_a_pins_file_that_is_absent_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAASBED_PINS", str(tmp_path / "absent.yml"))
    assert run("list", folder) == 1
    assert "absent.yml cannot be read" in capsys.readouterr().err


def test_the_projects_own_pins_are_valid_and_of_its_versions() -> None:
    known = pins.load(release.names())
    files = {file.name: file for file in release.load(release.ARCHITECTURES).files}
    unpinned = {name for name, file in files.items() if known.of(name, file.url) is None}
    assert unpinned == {"k3s", "k3s-arm64", "sha256sum-amd64.txt", "sha256sum-arm64.txt"}
    assert known.of(ENVOY, ENVOY)


def test_a_mirror_is_recorded_as_the_origin(released: Site, folder: Path) -> None:
    assert run("download", folder) == 0
    entry = recorded(folder)["kourier.yaml"]
    assert entry["origin"].startswith(f"{released.url}/knative-extensions/")
    assert entry["url"].startswith("https://github.com/knative-extensions/")


def test_records_of_old_prove_nothing(released: Site, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("download", folder) == 0
    old = {name: {"url": entry["url"], "sha256": entry["sha256"]} for name, entry in recorded(folder).items()}
    (folder / "artifacts.json").write_text(json.dumps(old), "utf-8")
    assert run("list", folder) == 1
    assert run("download", folder) == 0
    assert recorded(folder)["k3s"]["verified"] == "release list"


@pytest.fixture
def cosign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `cosign` first on PATH that records what it is asked, and refuses what the file `refused` names."""
    program = tmp_path / "bin" / "cosign"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\ncd "$(dirname "$0")"\necho "$@" >> asked\nfor image in "$@"; do :; done\n'
        'case "$1 $image" in *$(cat refused)*) echo "Error: no signatures found" >&2; exit 10 ;; esac\n',
        "utf-8",
    )
    program.chmod(0o755)
    (program.parent / "refused").write_text("nothing-is-called-so", "utf-8")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program.parent


def test_signatures_are_verified_where_cosign_is_installed(
    released: Site, folder: Path, cosign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("download", folder) == 0
    lines = (cosign / "asked").read_text("utf-8").splitlines()
    identity = (
        "--certificate-identity signer@knative-releases.iam.gserviceaccount.com "
        "--certificate-oidc-issuer https://accounts.google.com"
    )
    assert [line.partition("@sha256:")[0] for line in lines] == [
        f"{asks} {identity} gcr.io/knative-releases/serving/{image}"
        for image in ("activator", "queue")
        for asks in ("verify", "verify-attestation --type slsaprovenance02")
    ]
    assert "signatures and provenance are not verified" not in capsys.readouterr().out
    assert recorded(folder)["knative-images-amd64.tar.zst"]["verified"] == "image digests, signatures and provenance"


@pytest.mark.parametrize(("asked", "proof"), [("verify", "signature"), ("verify-attestation", "SLSA provenance")])
def test_an_image_without_a_signature_or_provenance_is_refused(
    asked: str, proof: str, released: Site, folder: Path, cosign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cosign / "refused").write_text(f"{asked} gcr.io/knative-releases/serving/queue@", "utf-8")
    assert run("download", folder) == 1
    error = capsys.readouterr().err
    assert f"no valid {proof} of Knative on gcr.io/knative-releases/serving/queue@sha256:" in error
    assert "Error: no signatures found" in error
    assert not (folder / "knative-images-amd64.tar.zst").exists()


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


def test_what_was_put_here_by_hand_counts_only_if_it_is_pinned(
    released: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("download", folder) == 0
    (folder / "artifacts.json").unlink()
    capsys.readouterr()
    assert run("list", folder) == 1
    rows = {row.split()[0]: row for row in capsys.readouterr().out.splitlines()[1:-1]}
    assert rows["kourier.yaml"].endswith("verified (pinned), put here by hand")
    assert rows["k3s"].endswith("not verified: it has no pin, and no verified list of its release names it")


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
