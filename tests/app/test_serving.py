"""What the application answers, without a network."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import other_function
import pytest
import zstandard
from small_request import texts

from app.serving import compiled, refusal
from app.serving.main import create_app
from app.serving.refusal import Refusal
from app.serving.served import load
from app.serving.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

LIMIT = 2_000_000
WORDS = {"text": "one two three"}


def application(module: str = "other_function", **limits: Any) -> FastAPI:
    return create_app(
        Settings(node="edge-1", replica="edge-1-a", module=module, **{"max_body_bytes": LIMIT, **limits}), load(module)
    )


@pytest.fixture(scope="module")
def other() -> FastAPI:
    return application()


@pytest.fixture(scope="module")
def classifier() -> FastAPI:
    return application("app.function")


def ask(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://function") as client:
            return await client.request(method, path, **options)

    return asyncio.run(go())


def post(app: FastAPI, content: bytes | Mapping[str, object], **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return ask(app, "POST", "/", content=body, headers={name.replace("_", "-"): text for name, text in headers.items()})


def test_the_reply_is_the_functions_and_says_who_answered(other: FastAPI):
    response = post(other, WORDS)
    assert response.status_code == 200
    reply = response.json()
    assert (reply["words"], reply["replica"], reply["node"]) == (3, "edge-1-a", "edge-1")
    assert {"python", "scikit-learn", "numpy"} <= reply["versions"].keys()
    assert response.headers["x-replica"] == "edge-1-a"


def test_server_timing_tells_each_phase_in_order(other: FastAPI):
    timing = post(other, WORDS).headers["server-timing"]
    phases = dict(phase.split(";dur=") for phase in timing.split(", "))
    assert list(phases) == ["read", "queue", "parse", "count"]
    assert all(float(duration) >= 0 for duration in phases.values())


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_request_is_the_same_request(other: FastAPI, encoding: str):
    body = json.dumps(WORDS).encode()
    content = gzip.compress(body) if encoding == "gzip" else zstandard.compress(body)
    assert post(other, content, content_encoding=encoding).json()["words"] == 3


def test_a_byte_order_mark_is_no_part_of_the_body(other: FastAPI):
    assert post(other, b'\xef\xbb\xbf{"text": "one two"}').json()["words"] == 2


def test_a_refusal_of_the_functions_own_is_one_sentence(other: FastAPI):
    response = post(other, {"text": ""})
    assert (response.status_code, response.json()) == (422, {"detail": "The text is empty; send some words."})


def test_a_bug_of_the_function_stays_in_its_log(other: FastAPI, caplog: pytest.LogCaptureFixture):
    response = post(other, {"text": "x", "does": "fail"})
    assert (response.status_code, response.json()) == (500, {"detail": "The function failed; its log says why."})
    assert "the secret reason" in caplog.text


def test_a_function_that_runs_out_of_memory_says_so(other: FastAPI):
    assert post(other, {"text": "x", "does": "hoard"}).status_code == 413


def test_metrics_count_requests_and_phases():
    app = application()
    post(app, WORDS)
    post(app, b"no")
    lines = ask(app, "GET", "/metrics").text.splitlines()
    assert 'function_requests_total{status="200"} 1.0' in lines
    assert 'function_requests_total{status="400"} 1.0' in lines
    assert 'function_phase_seconds_count{phase="count"} 1.0' in lines
    assert "function_in_flight 0.0" in lines
    assert "function_waiting 0.0" in lines
    assert "function_held_bytes 0.0" in lines


def test_the_description_has_the_functions_own_request(classifier: FastAPI):
    description = ask(classifier, "GET", "/openapi.json").json()
    schema = description["paths"]["/"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    request = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert {"x_dict", "y_dict", "model", "folds", "engine"} <= request["properties"].keys()


def test_the_page_for_people_needs_no_other_host(classifier: FastAPI):
    page = ask(classifier, "GET", "/docs").text
    assert "x_dict" in page
    assert "src=" not in page
    assert "http-equiv" not in page


GOOD = texts(40)


def test_more_than_two_labels_and_ten_thousand_texts_are_fine(classifier: FastAPI):
    request = texts(10_000) | {"y_dict": {str(i): "abc"[i % 3] for i in range(10_000)}, "repeats": 1}
    response = post(classifier, request)
    assert response.status_code == 200, response.text
    assert set(response.json()) >= {"best parameters", "accuracy (validation)", "accuracy (test)"}


def test_a_request_of_the_peers_is_answered_in_its_words(classifier: FastAPI):
    response = post(classifier, GOOD)
    reply = response.json()
    assert reply["best parameters"].keys() == {"alpha", "fit_prior"}
    assert 0 <= reply["accuracy (validation)"] <= 1
    phases = [phase.partition(";")[0] for phase in response.headers["server-timing"].split(", ")]
    assert [phase for phase in phases if phase != "queue"] == ["read", "parse", "vectorise", "search", "fit"]


def test_ready_means_warmed_up_and_says_why_not():
    async def states() -> list[tuple[int, str]]:
        app = application()
        service = app.state.service
        seen = []
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://function") as client:

            async def look() -> None:
                response = await client.get("/readyz")
                seen.append((response.status_code, response.text))

            await look()
            async with service.lifespan(app):
                pass  # it ends when the warming up has ended
            await look()
            service.queue.close()
            await look()
        return seen

    (cold, starting), (warm, _), (closing, ending) = asyncio.run(states())
    assert (cold, warm, closing) == (503, 200, 503)
    assert "warming up" in starting
    assert "shutting down" in ending


def test_the_first_reply_alone_tells_what_the_start_was_made_of():
    async def timings() -> list[dict[str, float]]:
        app = application()
        seen = []
        async with (
            app.state.service.lifespan(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://function") as client,
        ):
            while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110  # as whoever waits for it asks
                await asyncio.sleep(0.01)
            for _ in range(2):
                timing = (await client.post("/", json=WORDS)).headers["server-timing"]
                seen.append({name: float(ms) for name, ms in (one.split(";dur=") for one in timing.split(", "))})
        return seen

    first, second = asyncio.run(timings())
    assert first.keys() - second.keys() == {"start_import", "start_warm_up"}
    assert first["start_import"] > 10, "this process has run for longer"
    assert 0 <= first["start_warm_up"] < first["start_import"]


def test_replicas_that_share_a_folder_of_kernels_warm_up_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    taken: list[bool] = []

    def warm_up() -> None:
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        taken.append(True)

    monkeypatch.setattr(other_function, "warm_up", warm_up, raising=False)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    async def live() -> None:
        app = application()
        async with app.state.service.lifespan(app):
            pass

    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        asyncio.run(live())
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)
    assert taken


def test_damaged_kernels_are_compiled_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    damaged = tmp_path / "app" / "kernel.nbc"
    damaged.parent.mkdir()
    damaged.write_bytes(b"half")
    tried: list[bool] = []

    def warm_up() -> None:
        tried.append(damaged.exists())
        if damaged.exists():
            raise ValueError("cannot be read")

    monkeypatch.setattr(other_function, "warm_up", warm_up, raising=False)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    app = application()

    async def live() -> None:
        async with app.state.service.lifespan(app):
            pass

    asyncio.run(live())
    assert tried == [True, False]
    assert app.state.service.unready is None


def test_a_lock_that_is_never_given_back_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(compiled, "LONGEST_WAIT_S", 0.3)
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with compiled.compiling_alone({"NUMBA_CACHE_DIR": str(tmp_path)}):
            pass
    finally:
        os.close(handle)


def test_a_replica_removes_the_kernels_that_ended_ones_left(tmp_path: Path):
    (tmp_path / "shipped").mkdir()
    for name in ("function-ended", "function-running"):
        (tmp_path / name / "compiled").mkdir(parents=True)
    handle = os.open(tmp_path / "function-running", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    environment = {"FUNCTION_COMPILED": str(tmp_path / "shipped"), "TMPDIR": str(tmp_path)}
    compiled.unpack(environment)
    os.close(handle)
    own = Path(environment["NUMBA_CACHE_DIR"]).parent
    assert {path.name for path in tmp_path.glob("function-*")} == {"function-running", own.name}


def test_a_refusal_is_of_bounded_length():
    sentence = json.loads(bytes(Refusal(422, "x" * 5_000_000).response().body))["detail"]
    assert len(sentence) < 1100


def test_who_goes_on_sending_is_listened_to_until_the_answer_can_be_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(refusal, "LINGER_IDLE_S", 0.4)
    pieces = iter([True] * 8 + [False])
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.1)
        return {"type": "http.request", "body": b"x", "more_body": next(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Refusal(413, "Too much.").response(unread=True)({"type": "http"}, receive, send))
    assert next(pieces, None) is None, "all of it was read, though it took longer than a pause may"
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


def test_a_function_that_cannot_be_warmed_up_stays_unready(monkeypatch: pytest.MonkeyPatch):
    def warm_up() -> None:
        raise RuntimeError("no model")

    monkeypatch.setattr(other_function, "warm_up", warm_up, raising=False)

    async def state() -> httpx.Response:
        app = application()
        async with app.state.service.lifespan(app):
            pass
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://function") as client:
            return await client.get("/readyz")

    response = asyncio.run(state())
    assert response.status_code == 503
    assert "log" in response.json()["detail"]
