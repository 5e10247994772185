"""One file by HTTP: whole, cut off, tampered with, missing, without a network, without room."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from releases import Site, digest_of

from artifacts import download
from artifacts.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 4096
SIZE = len(CONTENT)


def fetch(url: str, path: Path, sha256: str | None = digest_of(CONTENT)) -> str:
    with download.client() as http:
        return download.fetch(http, url, path, sha256, lambda *_: None, pause_s=0)


@pytest.fixture
def file(site: Site) -> Site:
    site.files["/file"] = CONTENT
    return site


def test_a_file_is_downloaded_and_verified(file: Site, tmp_path: Path) -> None:
    assert fetch(f"{file.url}/file", tmp_path / "file") == digest_of(CONTENT)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_download_that_is_cut_off_goes_on_where_it_was(file: Site, tmp_path: Path) -> None:
    file.cuts["/file"] = (100_000, 2)
    fetch(f"{file.url}/file", tmp_path / "file")
    assert file.ranges_of("file") == ["", "bytes=100000-", "bytes=200000-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_download_that_a_former_run_left_goes_on(file: Site, tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(CONTENT[:5000])
    fetch(f"{file.url}/file", tmp_path / "file")
    assert file.ranges_of("file") == ["bytes=5000-"]


def test_a_partial_file_that_is_whole_is_not_downloaded_again(file: Site, tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(CONTENT)
    fetch(f"{file.url}/file", tmp_path / "file")
    assert file.ranges_of("file") == [f"bytes={SIZE}-"]


def test_what_another_version_left_is_not_mixed_in(file: Site, tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(b"another version" * 10)
    fetch(f"{file.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert file.ranges_of("file") == ["bytes=150-", ""]


def test_a_partial_file_longer_than_the_file_is_begun_anew(file: Site, tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(bytes(SIZE + 1))
    fetch(f"{file.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_file_without_a_known_checksum_is_never_resumed_from_a_former_run(file: Site, tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(b"another version")
    assert fetch(f"{file.url}/file", tmp_path / "file", None) == digest_of(CONTENT)
    assert file.ranges_of("file") == [""]


def test_a_server_without_ranges_sends_it_all_again(file: Site, tmp_path: Path) -> None:
    file.without_ranges = True
    (tmp_path / "file.partial").write_bytes(CONTENT[:5000])
    fetch(f"{file.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(file: Site, tmp_path: Path) -> None:
    file.statuses["/file"] = [503, 429]
    fetch(f"{file.url}/file", tmp_path / "file")
    assert len(file.requests) == 3


def test_a_server_that_always_cuts_off_is_given_up_and_what_came_is_kept(file: Site, tmp_path: Path) -> None:
    file.cuts["/file"] = (0, 99)
    (tmp_path / "file.partial").write_bytes(CONTENT[:5000])
    with pytest.raises(ArtifactError, match=r"/file was cut off 4 times .*5000 bytes are kept: run it again"):
        fetch(f"{file.url}/file", tmp_path / "file")
    assert len(file.requests) == download.ATTEMPTS
    assert (tmp_path / "file.partial").read_bytes() == CONTENT[:5000]


def test_a_file_that_was_tampered_with_never_gets_its_name(file: Site, tmp_path: Path) -> None:
    file.files["/file"] = CONTENT[:-1] + b"?"
    with pytest.raises(
        ArtifactError, match=rf"expected sha256 {digest_of(CONTENT)}, got [0-9a-f]{{64}}; it was deleted"
    ):
        fetch(f"{file.url}/file", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_there_stays_when_its_successor_is_tampered_with(file: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"as it was")
    with pytest.raises(ArtifactError):
        fetch(f"{file.url}/file", tmp_path / "file", "0" * 64)
    assert (tmp_path / "file").read_bytes() == b"as it was"


def test_a_file_that_is_missing_is_named_with_what_to_do(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"/file does not exist \(HTTP 404\); check the versions"):
        fetch(f"{site.url}/file", tmp_path / "file")
    assert len(site.requests) == 1


def test_plain_http_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"http://192\.0\.2\.1/file is not HTTPS, so anybody on the way"):
        fetch("http://192.0.2.1/file", tmp_path / "file")


def test_a_redirection_to_plain_http_is_refused(site: Site, tmp_path: Path) -> None:
    site.redirects["/file"] = "http://192.0.2.1/other"
    with pytest.raises(ArtifactError, match=r"http://192\.0\.2\.1/other is not HTTPS"):
        fetch(f"{site.url}/file", tmp_path / "file")


def test_a_web_page_never_enters_and_what_was_there_of_the_file_stays(file: Site, tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(CONTENT[:5000])
    file.portal = b"<!DOCTYPE html><title>Please log in</title>"
    with pytest.raises(ArtifactError, match=r"/file gives a web page instead of the file, .*log in to the network"):
        fetch(f"{file.url}/file", tmp_path / "file")
    assert (tmp_path / "file.partial").read_bytes() == CONTENT[:5000]
    file.portal = b""
    fetch(f"{file.url}/file", tmp_path / "file")
    assert file.ranges_of("file")[-1] == "bytes=5000-"


def test_no_network_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/file"
        with pytest.raises(ArtifactError, match=r"cannot be reached .*refused.*check the network and the proxy"):
            fetch(address, tmp_path / "file")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "faasbed-test", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_too_little_room_is_said_before_the_disk_is_full(file: Site, small_disk: Path) -> None:
    with pytest.raises(ArtifactError, match=rf"no room for .*{SIZE} bytes are to come, 65536 are free.*FAASBED_ARTIF"):
        fetch(f"{file.url}/file", small_disk / "file")
    assert list(small_disk.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(file: Site, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"absent/file cannot be written: No such file"):
        fetch(f"{file.url}/file", tmp_path / "absent" / "file")
