"""The archive of Knative's images for one architecture, and the images that the releases name by a tag."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

from artifacts import download, images, release, signatures
from artifacts.errors import ArtifactError
from artifacts.pins import DIGESTS, SIGNED, SITE, Expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from artifacts.folder import Folder, State


def state(folder: Folder, architecture: str) -> State:
    """What the archive in the folder is."""
    name, contents = release.archive_of(architecture), _contents(folder)
    return folder.state(name, contents, folder.expected(name, contents))


def complete(folder: Folder, architecture: str, say: Callable[[str], None]) -> None:
    """Pull and pack the images, unless the archive is there and good; record it and the digest of each tag.

    Raises:
        ArtifactError: an image cannot be had, is another one, has no pin where a tag names it, or is not signed; or a
            site pins the archive and it is not there.
    """
    name = release.archive_of(architecture)
    named = _images(folder)
    digests = {image: _digest_of(folder, image) for image in named}
    for image in named:
        if "@" not in image:
            folder.record(image, image, digests[image], origin=image)
    contents = _contents(folder)
    expected = folder.expected(name, contents)
    if expected and folder.state(name, contents, expected).usable:
        folder.record(name, contents, expected)
        return
    if expected and expected.verified == SITE:
        raise ArtifactError(
            f"{folder.path / name} is not there, or not the one that the pins file names; put it there, or leave it "
            "out of that file to have it packed"
        )
    images.check_programs()
    cosign = signatures.program()
    if not cosign:
        say(f"{name}: signatures and provenance are not verified: the program cosign is not installed")
    store, partial = folder.path / f"{name}.blobs", folder.path / f"{name}.partial"
    for number, image in enumerate(named, 1):
        say(f"{name}: image {number} of {len(named)}, {image}")
        if cosign and signatures.is_signed(image):
            signatures.verify(cosign, f"{images.repository_of(image)}@sha256:{digests[image].sha256}")
        images.pull(image, digests[image].sha256, architecture, store)
    images.pack([(image, digests[image].sha256) for image in named], store, partial, architecture)
    partial.replace(folder.path / name)
    registries = ", ".join(sorted({image.partition("/")[0] for image in named}))
    packed = Expected(download.sha256_of(folder.path / name), SIGNED if cosign else DIGESTS)
    folder.record(name, contents, packed, origin=registries)
    shutil.rmtree(store)
    say(f"{name}: packed")


def _images(folder: Folder) -> list[str]:
    manifests = [folder.path / name for name in release.MANIFESTS]
    return sorted({image for path in manifests if path.is_file() for image in images.images_of(path)})


def _digest_of(folder: Folder, image: str) -> Expected:
    if digest := image.partition("@sha256:")[2]:
        return Expected(digest, DIGESTS)
    if expected := folder.expected(image, image):
        return expected
    raise ArtifactError(
        f"the image {image} is named by a tag and has no pin: give its digest in a pins file, FAASBED_PINS=FILE "
        "(docs/artifacts.md)"
    )


def _contents(folder: Folder) -> str:
    """What an archive is made of, as one word in place of an address: a digest over the images' names and digests."""
    digests = []
    for image in _images(folder):
        expected = None if "@" in image else folder.expected(image, image)
        digests.append((image, expected.sha256 if expected else None))
    return f"images:{hashlib.sha256(json.dumps(digests).encode()).hexdigest()}"
