"""The images of Serving, Kourier and Envoy: pulled by digest with skopeo, packed into one archive for containerd.

The archive is an OCI image layout (OCI image-spec, image-layout.md) in tar and zstd. A release names an image by the
digest of an index of all architectures: the archive holds that index as it is, and of the images behind it the one of
its own architecture, so that containerd finds the image by the very name that the release's files use. Most have no
tag: k3s, which would derive a second name from it, logs `failed to retag images`, after it has imported them all.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

import yaml

from artifacts import download
from artifacts.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

INDEX = "application/vnd.oci.image.index.v1+json"
RETRIES = "3"
# Level 3 of zstd, all cores: layers are packed already.
ZSTD = ("zstd", "--quiet", "-3", "-T0", "--force")


def images_of(path: Path) -> list[str]:
    """The images that a file of Kubernetes manifests names, Knative's sidecar among them.

    Raises:
        ArtifactError: the file is not YAML.
    """
    try:
        documents = list(yaml.load_all(path.read_text("utf-8"), Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is not YAML; delete it and run `make artifacts`") from error
    return sorted(set(_images_in(documents)))


def _images_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in {"image", "queue-sidecar-image"} and isinstance(value, str):
                yield value
            else:
                yield from _images_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from _images_in(value)


def check_programs() -> None:
    """Raise ArtifactError where skopeo or zstd is not installed."""
    for program in ("skopeo", "zstd"):
        if shutil.which(program) is None:
            raise ArtifactError(f"images need the program {program}; install it: apt-get install {program}")


def repository_of(image: str) -> str:
    """An image's name without tag and digest."""
    name = image.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    return head + slash + tail.partition(":")[0]


def pull(image: str, digest: str, architecture: str, store: Path) -> None:
    """Bring an image of one architecture into ``store``; what is there whole is not pulled again.

    Args:
        image: its name.
        digest: the SHA-256 of its index, or of its manifest where it has no index.
        architecture: as OCI calls it.
        store: a folder of blobs by SHA-256.

    Raises:
        ArtifactError: the registry does not have it, or has something else, or skopeo fails.
    """
    store.mkdir(parents=True, exist_ok=True)
    repository = repository_of(image)
    if not _is_whole(store / digest):
        raw = _skopeo("inspect", "--raw", f"docker://{repository}@sha256:{digest}")
        actual = hashlib.sha256(raw).hexdigest()
        if digest != actual:
            raise ArtifactError(f"unexpected image {image}: expected digest sha256:{digest}, got sha256:{actual}")
        _keep(raw, store)
    manifest = _manifest_of(image, store / digest, architecture)
    if not all(_is_whole(store / sha256) for sha256 in (manifest, *_blobs_of(store, manifest))):
        staged = store / f"{manifest}.partial"
        shutil.rmtree(staged, ignore_errors=True)
        source = f"docker://{repository}@sha256:{manifest}"
        _skopeo("copy", "--quiet", "--preserve-digests", "--retry-times", RETRIES, source, f"dir:{staged}")
        for blob in staged.iterdir():
            if blob.name not in {"version", "manifest.json"}:
                blob.replace(store / blob.name)
        (staged / "manifest.json").replace(store / manifest)
        shutil.rmtree(staged)


def pack(images: Sequence[tuple[str, str]], store: Path, path: Path, architecture: str) -> None:
    """Write names and SHA-256 of images, which :func:`pull` brought into ``store``, as one archive.

    The same images make the same archive, byte for byte.
    """
    entries: list[dict[str, Any]] = []
    blobs: dict[str, None] = {}
    for image, sha256 in images:
        blob = (store / sha256).read_bytes()
        media_type = json.loads(blob).get("mediaType", INDEX)
        manifest = _manifest_of(image, store / sha256, architecture)
        for name in dict.fromkeys((image, f"{repository_of(image)}@sha256:{sha256}")):
            notes = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
            entries.append(
                {"mediaType": media_type, "digest": f"sha256:{sha256}", "size": len(blob), "annotations": notes}
            )
        blobs |= dict.fromkeys((sha256, manifest, *_blobs_of(store, manifest)))
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    try:
        with (
            subprocess.Popen([*ZSTD, "-o", str(path)], stdin=subprocess.PIPE) as zstd,
            tarfile.open(fileobj=zstd.stdin, mode="w|") as archive,
        ):
            for name, content in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", index)):
                text = json.dumps(content).encode()
                archive.addfile(_member(name, len(text)), io.BytesIO(text))
            for sha256 in blobs:
                with (store / sha256).open("rb") as file:
                    archive.addfile(_member(f"blobs/sha256/{sha256}", (store / sha256).stat().st_size), file)
    except BrokenPipeError:
        pass  # zstd printed the reason
    if zstd.returncode:
        raise ArtifactError(f"{path} cannot be written (zstd's message is above); is there room?")


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size_bytes
    return member


def _manifest_of(image: str, path: Path, architecture: str) -> str:
    """The SHA-256 of the manifest of one architecture behind an index, or of the manifest that ``path`` itself is."""
    content = json.loads(path.read_bytes())
    if "manifests" not in content:
        return path.name
    for manifest in content["manifests"]:
        platform = manifest.get("platform", {})
        if (platform.get("os"), platform.get("architecture")) == ("linux", architecture):
            return str(manifest["digest"]).removeprefix("sha256:")
    raise ArtifactError(f"{image} is not published for architecture {architecture}; choose another ARCH")


def _is_whole(path: Path) -> bool:
    """Whether a blob is there and is what its name says: a power cut leaves files that are shorter."""
    return path.is_file() and download.sha256_of(path) == path.name


def _blobs_of(store: Path, manifest: str) -> list[str]:
    """The SHA-256 of an image's configuration and layers; none while its manifest is not in the store."""
    if not _is_whole(store / manifest):
        return []
    content = json.loads((store / manifest).read_bytes())
    return [blob["digest"].removeprefix("sha256:") for blob in (content["config"], *content["layers"])]


def _keep(content: bytes, store: Path) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    partial = store / f"{sha256}.partial"
    partial.write_bytes(content)
    partial.replace(store / sha256)


def _skopeo(*arguments: str) -> bytes:
    ended = subprocess.run(["skopeo", *arguments], capture_output=True, check=False)
    if ended.returncode:
        image = next(argument for argument in arguments if argument.startswith("docker://")).removeprefix("docker://")
        words = (ended.stderr.decode(errors="replace").strip().splitlines() or [f"status {ended.returncode}"])[-1]
        words = words.partition('msg="')[2].removesuffix('"').replace("\\", "") or words
        advice = "check the network, or name a mirror in /etc/containers/registries.conf"
        if "no space left" in words:
            advice = "free some room, or set FAASBED_ARTIFACTS to a folder elsewhere"
        raise ArtifactError(f"skopeo cannot pull {image}: {words.rstrip('.')}; {advice}")
    return ended.stdout
