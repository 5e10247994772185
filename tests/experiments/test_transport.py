"""Connections new or kept, HTTP/1.1 or 2, bodies plain or packed: on a real Envoy before a function of this process."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpcore
import pytest
import yaml
import zstandard
from driven import TEXTS, drawn, loaded
from loopback import NODES
from msgspec.structs import replace

from collect import records
from collect.records import ModelRecord, RequestRecord
from experiments.base_station import driver
from experiments.base_station.check import spread
from experiments.base_station.exchange import Exchange, Kept, Way, sender, together
from experiments.base_station.transport import packed
from experiments.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control").read_text(encoding="ascii").split()
CONTROL = "cubic" if os.geteuid() == 0 or "cubic" in ALLOWED else ALLOWED[0]
DEADLINE_S = 120


# Which node the replica at a port says it is on.
names: dict[int, str] = {}


class Served(BaseHTTPRequestHandler):
    """A replica: unpacks what it is sent and says what it got, on connections that it keeps."""

    protocol_version = "HTTP/1.1"
    encodings: list[str | None]
    both: threading.Barrier | None
    server: ThreadingHTTPServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        encoding = self.headers.get("Content-Encoding")
        type(self).encodings.append(encoding)
        match encoding:
            case "gzip":
                body = gzip.decompress(body)
            case "zstd":
                body = zstandard.decompress(body)
        both = type(self).both
        if both is not None:
            both.wait(DEADLINE_S)
        node = names[self.server.server_port]
        reply = {"texts": len(json.loads(body)["texts"]), "replica": f"on-{node}", "node": node}
        content = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Leave the test's output alone."""


@contextmanager
def replicas(count: int = 2, *, at_once: bool = False) -> Iterator[tuple[list[int], type[Served]]]:
    """Replicas on ports of their own, of which each names another node; ``at_once``: none replies before all are asked."""
    handler = type("Handler", (Served,), {"encodings": [], "both": threading.Barrier(count) if at_once else None})
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(count)]
    names.update(zip((server.server_port for server in servers), NODES, strict=False))
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield [server.server_port for server in servers], handler
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


@contextmanager
def gateway(folder: Path, ports: list[int]) -> Iterator[str]:
    """The gateway of the platform process, as roles/function configures it, before these replicas."""
    import jinja2  # noqa: PLC0415 - as Ansible reads the template

    source = (ROOT / "roles" / "function" / "templates" / "envoy.yaml.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - YAML
    environment.filters["b64encode"] = lambda text: __import__("base64").b64encode(text.encode()).decode()
    item = {"name": "words", "gateway": "a", "nodes": ["a"], "congestion_control": CONTROL, "timeout_s": DEADLINE_S}
    gateway_ = {"address": "127.0.0.1", "port": 0, "log": "its log", "type": "STATIC", "replicas": ["127.0.0.1"]}
    rendered = environment.from_string(source).render(
        item=item, function_gateway={**gateway_, "replica_port": 0}, data_address="127.0.0.1"
    )
    settings = yaml.safe_load(rendered)
    endpoint = {"address": {"socket_address": {"address": "127.0.0.1"}}}
    (cluster,) = settings["static_resources"]["clusters"]
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": {"socket_address": {**endpoint["address"]["socket_address"], "port_value": port}}}}
        for port in ports
    ]
    settings["admin"] = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
    (folder / "envoy.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "envoy"), "-c", str(folder / "envoy.yaml"), "--concurrency", "1"]
    command += ["--admin-address-path", str(folder / "admin"), "--disable-hot-restart", "--log-level", "error"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        yield f"http://127.0.0.1:{_port(folder, process)}/"
    finally:
        process.kill()
        process.communicate()


def _port(folder: Path, process: subprocess.Popen[bytes]) -> int:
    """Return where Envoy listens, which only it knows."""
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()[1].decode()
        address = (folder / "admin").read_text(encoding="ascii") if (folder / "admin").exists() else ""
        if address:
            listeners = httpcore.request("GET", f"http://{address}/listeners?format=json").content
            for one in json.loads(listeners).get("listener_statuses", []):
                return int(one["local_address"]["socket_address"]["port_value"])
        time.sleep(0.05)
    raise AssertionError("Envoy did not begin to listen")


def ways(url: str, **changes: Any) -> Way:
    return Way(url=url, host="words", congestion_control=CONTROL, timeout_s=DEADLINE_S, **changes)


BODY = json.dumps({"texts": ["one two"] * 3}).encode()


@pytest.mark.parametrize("protocol", ["http/1.1", "http/2"])
@pytest.mark.parametrize("connections", ["new", "kept"])
def test_requests_at_once_meet_a_replica_each_and_tell_how_they_went(
    tmp_path: Path, protocol: str, connections: str
) -> None:
    with replicas(at_once=True) as (ports, _), gateway(tmp_path, ports) as url, Kept() as kept:
        repetitions: list[list[Exchange]] = []
        for _ in range(4):  # a repetition has a sender of its own
            with sender(ways(url, protocol=protocol, connections=connections), kept) as send:
                repetitions.append(together([send, send], [BODY, BODY]))
    for pair in repetitions:
        assert [exchange.error for exchange in pair] == [None, None]
        assert {json.loads(exchange.body)["node"] for exchange in pair} == set(NODES), "one request a replica"
        for exchange in pair:
            assert (exchange.protocol, exchange.congestion_control, exchange.status) == (protocol, CONTROL, 200)
            assert exchange.round_trip is not None, "the proof that links are crossed is of this connection"
            assert (exchange.connected_ns is None) == (exchange.connection == "kept")
            times = [exchange.sent_ns, exchange.uploaded_ns, exchange.first_byte_ns, exchange.last_byte_ns]
            assert times == sorted(at for at in times if at is not None)
    later = {exchange.connection for pair in repetitions[1:] for exchange in pair}
    assert later == {connections}
    assert {exchange.connection for exchange in repetitions[0]} == {"new"}


def test_a_kept_connection_that_the_gateway_has_closed_is_made_anew(tmp_path: Path) -> None:
    with replicas() as (ports, _), Kept() as kept:
        way: Way | None = None
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            with gateway(folder, ports) as url:
                way = ways(url, connections="kept")
                for expected in ("new", "kept"):
                    with sender(way, kept) as send:
                        (exchange,) = together([send], [BODY])
                    assert (exchange.error, exchange.connection) == (None, expected)
        assert way is not None


@pytest.mark.parametrize("protocol", ["http/1.1", "http/2"])
def test_a_large_body_is_uploaded_and_acknowledged(tmp_path: Path, protocol: str) -> None:
    body = json.dumps({"texts": [os.urandom(50).hex() for _ in range(30_000)]}).encode()
    with replicas() as (ports, _), gateway(tmp_path, ports) as url, sender(ways(url, protocol=protocol)) as send:
        (exchange,) = together([send], [body])
    assert (exchange.error, json.loads(exchange.body)["texts"]) == (None, 30_000)
    assert exchange.uploaded_ns is not None
    assert exchange.uploaded_ns > (exchange.connected_ns or 0)


@pytest.mark.parametrize(("encoding", "sent"), [("plain", None), ("gzip", "gzip"), ("zstd", "zstd")])
def test_bodies_are_packed_as_the_header_says_and_recorded_as_they_were_sent(
    tmp_path: Path, encoding: str, sent: str | None
) -> None:
    transport = {"congestion_control": CONTROL, "encoding": encoding, "connections": "kept", "protocol": "http/2"}
    experiment = loaded(tmp_path, transport=transport)
    (tmp_path / "raw").mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps({"x": TEXTS.x, "y": TEXTS.y}), encoding="utf-8")
    with replicas() as (ports, served), gateway(tmp_path, ports) as url:
        plan = drawn(experiment, url)
        assert set(spread(plan, "bs", TEXTS)["words"].values()) == set(NODES)
        one = driver.Driver(plan, tmp_path / "dataset.json", tmp_path / "raw" / "samples.jsonl", "bs")
        one.run(lambda _: None)
        assert set(served.encodings) == {sent}
    read = list(records.read(tmp_path / "raw" / "samples.jsonl"))
    assert [record.error for record in read if isinstance(record, ModelRecord)] == [None] * 4
    requests = [record for record in read if isinstance(record, RequestRecord)]
    assert {(one.encoding, one.protocol) for one in requests} == {(encoding, "http/2")}
    assert [one.connection for one in requests if one.repetition] == ["kept"] * 4
    sizes = {one.request_bytes for one in requests}
    plain = {len(json.dumps({"texts": TEXTS.x[:16]}, separators=(",", ":")))}
    assert (max(sizes) < min(plain)) == (encoding != "plain")


def test_a_function_that_speaks_another_version_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with replicas(1) as (ports, _):
        experiment = loaded(tmp_path, transport={"congestion_control": CONTROL, "protocol": "http/2"})
        plan = drawn(experiment, f"http://127.0.0.1:{ports[0]}/")
        plan = replace(plan, scenarios={"words": replace(plan.scenarios["words"], timeout_s=5.0)})
        with pytest.raises(Exception, match=r"scenario words: http://127\.0\.0\.1:"):
            spread(plan, "bs", TEXTS)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_packing_gives_the_same_bytes_for_the_same_body(encoding: Any) -> None:
    body = b"word " * 1000
    assert packed(body, encoding) == packed(body, encoding) != body


@pytest.mark.parametrize(
    ("transport", "sentence"),
    [
        ({"connections": "keep"}, "transport.connections: Input should be 'new' or 'kept'"),
        ({"protocol": "http/3"}, "transport.protocol: Input should be 'http/1.1' or 'http/2'"),
        ({"encoding": "br"}, "transport.encoding: Input should be 'plain', 'gzip' or 'zstd'"),
    ],
)
def test_transport_that_there_is_not_is_refused_by_its_key(
    tmp_path: Path, transport: dict[str, str], sentence: str
) -> None:
    with pytest.raises(SpecError) as caught:
        loaded(tmp_path, transport=transport)
    assert sentence in str(caught.value)
