"""Releases and a registry on loopback: a real HTTP server that behaves as a test decides, file by file.

Fixtures: ``site``, which has nothing on it, and ``released``, which has all that `make artifacts` downloads.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from artifacts import pins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OCI = "application/vnd.oci.image.{}.v1+json"
DOCKER = "application/vnd.docker.{}.v{}+json"


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Site:
    """What is served by path, how each file misbehaves, and what was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    # How many bytes are sent before the connection ends, and how often that happens.
    cuts: dict[str, tuple[int, int]] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    # The page that answers everything, as a network does that asks for a login first.
    portal: bytes = b""
    without_ranges: bool = False
    # Path and Range header of each request.
    requests: list[tuple[str, str]] = field(default_factory=list)

    def ranges_of(self, name: str) -> list[str]:
        return [asked for path, asked in self.requests if path.endswith(f"/{name}")]


class _Server(ThreadingHTTPServer):
    daemon_threads = True


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, asked = unquote(self.path), self.headers.get("Range", "")
            site.requests.append((path, asked))
            if site.portal:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(site.portal)))
                self.end_headers()
                self.wfile.write(site.portal)
                return
            if path in site.redirects:
                self.send_response(302)
                self.send_header("Location", site.redirects[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status = site.statuses.get(path, [])
            content = site.files.get(path, b"{}" if path == "/v2/" else None)
            if status or content is None:
                self.send_response(status.pop(0) if status else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and not site.without_ranges else 0
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Type", site.types.get(path, "application/octet-stream"))
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            body = content[start:]
            size, times = site.cuts.get(path, (0, 0))
            if times:
                site.cuts[path] = (size, times - 1)
                body = body[:size]
                self.close_connection = True
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Leave the test's output alone."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def add_image(site: Site, repository: str, *, tag: str = "", docker: bool = False) -> str:
    """Publish an image for two architectures behind ``/v2/`` as a registry does; returns its index's SHA-256."""

    def publish(kind: str, content: bytes, media_type: str) -> dict[str, Any]:
        sha256 = digest_of(content)
        path = f"/v2/{repository}/{kind}/sha256:{sha256}"
        site.files[path], site.types[path] = content, media_type
        return {"mediaType": media_type, "digest": f"sha256:{sha256}", "size": len(content)}

    def document(media_type: str, **keys: Any) -> bytes:
        return json.dumps({"schemaVersion": 2, "mediaType": media_type, **keys}).encode()

    index_type = DOCKER.format("distribution.manifest.list", 2) if docker else OCI.format("index")
    manifest_type = DOCKER.format("distribution.manifest", 2) if docker else OCI.format("manifest")
    config_type = DOCKER.format("container.image", 1) if docker else OCI.format("config")
    layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip" if docker else OCI.format("layer")
    layer_type = layer_type.replace(".v1+json", ".v1.tar+gzip")
    manifests = []
    for architecture in ("amd64", "arm64"):
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            text = f"{repository} for {architecture}\n".encode()
            member = tarfile.TarInfo("hello")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
        packed = gzip.compress(layer.getvalue(), mtime=0)
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest_of(layer.getvalue())}"]},
        }
        parts = {
            "config": publish("blobs", json.dumps(config).encode(), config_type),
            "layers": [publish("blobs", packed, layer_type)],
        }
        manifest = publish("manifests", document(manifest_type, **parts), manifest_type)
        manifests.append({**manifest, "platform": {"architecture": architecture, "os": "linux"}})
    index = document(index_type, manifests=manifests)
    publish("manifests", index, index_type)
    if tag:
        path = f"/v2/{repository}/manifests/{tag}"
        site.files[path], site.types[path] = index, index_type
    return digest_of(index)


def manifest_with(*images: str) -> bytes:
    """Kubernetes manifests that name images as Knative's do."""
    containers = "".join(f"\n      - name: c{number}\n        image: {image}" for number, image in enumerate(images))
    return f"""apiVersion: apps/v1
kind: Deployment
metadata: {{name: one}}
spec:
  template:
    spec:
      containers:{containers}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: config-deployment}}
data:
  queue-sidecar-image: {images[0]}
  _example: |
    image: not.an/image:at-all
""".encode()


def publish_release(site: Site) -> None:
    """Publish all that the roles' versions name, small: a k3s release for both architectures, Serving, Kourier, images."""
    k3s = "/k3s-io/k3s/releases/download/v1.34.3+k3s1"
    for architecture, binary in (("amd64", "k3s"), ("arm64", "k3s-arm64")):
        content = {
            binary: f"the binary for {architecture} ".encode() * 20_000,
            f"k3s-airgap-images-{architecture}.tar.zst": f"images for {architecture} ".encode() * 20_000,
        }
        sums = "".join(f"{digest_of(body)}  {name}\n" for name, body in content.items())
        content[f"sha256sum-{architecture}.txt"] = sums.encode()
        site.files |= {f"{k3s}/{name}": body for name, body in content.items()}
    activator, queue = (f"knative-releases/serving/{name}" for name in ("activator", "queue"))
    serving = [f"gcr.io/{name}@sha256:{add_image(site, name)}" for name in (activator, queue)]
    add_image(site, "envoyproxy/envoy", tag="v1.37-latest", docker=True)
    knative = "/knative/serving/releases/download/knative-v1.23.0"
    site.files |= {
        f"{knative}/serving-crds.yaml": b"apiVersion: v1\nkind: Namespace\nmetadata: {name: knative-serving}\n",
        f"{knative}/serving-core.yaml": manifest_with(*serving),
        "/knative-extensions/net-kourier/releases/download/knative-v1.23.0/kourier.yaml": manifest_with(
            "docker.io/envoyproxy/envoy:v1.37-latest"
        ),
    }


def pins_of(site: Site) -> dict[str, str]:
    """What a site is pinned by: all that was published, save the binaries of k3s and their lists."""
    pinned = {
        f"https://github.com{path}": digest_of(body)
        for path, body in site.files.items()
        if path.endswith((".yaml", ".tar.zst"))
    }
    envoy = site.files["/v2/envoyproxy/envoy/manifests/v1.37-latest"]
    return {**pinned, "docker.io/envoyproxy/envoy:v1.37-latest": digest_of(envoy)}


@pytest.fixture
def site() -> Iterator[Site]:
    """A server with nothing on it."""
    with serve(Site()) as site:
        yield site


@pytest.fixture
def released(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """All that the roles' versions name is on the server, which stands for GitHub and for the images' registries."""
    for program in ("skopeo", "zstd"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    publish_release(site)
    # What the project pins is its own release's; the site's own is pinned in the same way.
    pinned = tmp_path / "checksums.yml"
    pinned.write_text(pins.dump(pins_of(site)), "utf-8")
    monkeypatch.setattr(pins, "PROJECT", pinned)
    monkeypatch.delenv("FAASBED_PINS", raising=False)
    registries = "".join(
        f'[[registry]]\nprefix = "{name}"\nlocation = "{site.url.removeprefix("http://")}"\ninsecure = true\n'
        for name in ("gcr.io", "docker.io")
    )
    configuration = tmp_path / "home" / ".config" / "containers" / "registries.conf"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(registries, "utf-8")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAASBED_MIRROR", f"{site.url}/")
    return site
