"""The function on HTTP: one request trains at a time, in a thread, and the event loop always answers."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from app.errors import Cancelled
from app.serving.body import check_headers, read_body
from app.serving.client import Client, ClientGoneError
from app.serving.compiled import compiling_alone, forget_kernels
from app.serving.framing import Framing
from app.serving.metrics import MEDIA_TYPE, Metrics
from app.serving.origin_form import OriginForm
from app.serving.queue import Queue
from app.serving.refusal import Refusal
from app.serving.schema import describe, render
from app.versions import VERSION, versions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from app.serving.served import Served
    from app.serving.settings import Settings

Result = TypeVar("Result")

CLIENT_GONE = 499  # nginx's status for a client that closed the request; only the metrics show it

log = logging.getLogger("uvicorn.error")


class Service:
    """One replica: the function, its queue, its thread and its figures."""

    def __init__(self, settings: Settings, function: Served) -> None:
        self.settings = settings
        self.function = function
        self.queue = Queue(settings.queue_limit, settings.max_held_bytes)
        self.metrics = Metrics(self.queue)
        self.unready: str | None = "The function is still warming up."
        self.identity = {"replica": settings.replica, "node": settings.node, "versions": versions()}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="function")
        self._start_ms: dict[str, float] = {}  # until a reply has told it

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Warm up beside the event loop, so that health is answered from the start."""
        warming = asyncio.create_task(self._warm_up())
        yield
        await warming
        self._thread.shutdown()

    async def _warm_up(self) -> None:
        started = time.perf_counter()
        self._start_ms["start_import"] = _age_ms()
        try:
            await self._in_thread(_warm_up_alone, self.function.warm_up)
        except Exception:
            log.exception("The function could not be warmed up; this replica stays unready")
            self.unready = "The function could not be warmed up; its log says why."
            return
        self.unready = None
        warm_up_s = time.perf_counter() - started
        self._start_ms["start_warm_up"] = warm_up_s * 1e3
        log.info("Ready after %.1f s of warming up", warm_up_s)

    async def answer(self, request: Request) -> Response:
        """Serve one request; whatever happens becomes a status and one sentence."""
        client = Client(request.receive)
        try:
            response = await self._serve(request, client)
        except Refusal as refusal:
            response = refusal.response(unread=not client.sent_all)
        except (ClientGoneError, Cancelled):
            response = Response(status_code=CLIENT_GONE)
        except MemoryError:  # while the body came
            response = Refusal(413, "The body needs more memory than there is here; send less.").response(
                unread=not client.sent_all
            )
        except Exception:
            log.exception("The function failed")
            response = Refusal(500, "The function failed; its log says why.").response()
        self.metrics.count(response.status_code)
        response.headers["X-Replica"] = self.settings.replica
        return response

    async def _serve(self, request: Request, client: Client) -> Response:
        settings = self.settings
        encoding = check_headers(request.headers, settings.max_body_bytes)
        with self.queue.place() as place:
            body = await self.queue.while_open(
                read_body(
                    client,
                    encoding,
                    largest=settings.max_body_bytes,
                    timeout_s=settings.read_timeout_s,
                    hold=place.hold,
                )
            )
            place.wait()
            read_ms = body.read_ms
            gone = asyncio.create_task(client.leave())
            arrived = time.perf_counter()
            try:
                async with self.queue.turn(gone):
                    queue_ms = (time.perf_counter() - arrived) * 1e3
                    task, parse_ms = await self._until(gone, self.function.parse, body, settings.max_body_bytes)
                    del body  # the task holds all that is needed; a search lasts long
                    place.release()
                    outcome = await self._until(gone, self.function.call, task)
            finally:
                gone.cancel()
        phases_ms = {"read": read_ms, "queue": queue_ms, "parse": parse_ms, **outcome.phases_ms}
        self.metrics.observe(phases_ms)
        # The first reply also tells what the start of this process was made of.
        phases_ms |= self._start_ms
        self._start_ms = {}
        timing = ", ".join(f"{phase};dur={duration_ms:.3f}" for phase, duration_ms in phases_ms.items())
        content = msgspec.json.encode({**outcome.reply, **self.identity})
        return Response(content, headers={"Server-Timing": timing}, media_type="application/json")

    async def _until(self, gone: asyncio.Future[None], call: Callable[..., Result], *arguments: Any) -> Result:
        """Call in the function's thread; ``gone`` cancels it, and its end is waited for, as there is one thread."""
        cancelled = threading.Event()
        work = asyncio.ensure_future(self._in_thread(call, *arguments, cancelled.is_set))
        try:
            either: set[asyncio.Future[Any]] = {work, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                cancelled.set()
            result = await work
        finally:
            cancelled.set()
        if gone.done():
            raise ClientGoneError
        return result

    async def _in_thread(self, call: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)


def _age_ms() -> float:
    """Return how long ago this process was started (proc_pid_stat(5), field 22)."""
    started = int(Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()[19])
    return (time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")) * 1e3


def _warm_up_alone(warm_up: Callable[[], object]) -> None:
    with compiling_alone(os.environ):
        try:
            warm_up()
        except Exception:
            if not forget_kernels(os.environ):
                raise
            log.exception(
                "The function could not be warmed up; trying again without the compiled kernels that were there"
            )
            warm_up()


def create_app(settings: Settings, function: Served) -> FastAPI:
    """The ASGI application that serves ``function`` under ``settings``; its Service is ``app.state.service``."""
    service = Service(settings, function)
    app = FastAPI(
        title=f"faasbed: {settings.module}",
        description=(import_module(settings.module).__doc__ or "").strip(),
        version=VERSION,
        lifespan=service.lifespan,
        openapi_url=None,  # described below: FastAPI does not see into a body that msgspec decodes
        docs_url=None,  # FastAPI's own pages load their scripts from the internet; a testbed often has none
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.service = service

    @app.post("/", summary="Run the function")
    async def run(request: Request) -> Response:
        return await service.answer(request)

    @app.get("/healthz", summary="Whether the process answers")
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", summary="Whether requests are welcome")
    async def readyz() -> Response:
        if service.queue.closing:
            return JSONResponse({"detail": "This replica is shutting down."}, HTTPStatus.SERVICE_UNAVAILABLE)
        if service.unready:
            return JSONResponse({"detail": service.unready}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", summary="Figures for Prometheus")
    async def metrics() -> Response:
        return Response(service.metrics.render(), media_type=MEDIA_TYPE)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return JSONResponse(description)

    @app.get("/docs", summary="This description, for people")
    async def docs() -> Response:
        return HTMLResponse(page)

    app.add_exception_handler(HTTPException, _not_here)
    app.add_middleware(OriginForm)
    app.add_middleware(Framing)
    description = describe(app, function.request_type)
    page = render(description)
    return app


async def _not_here(request: Request, error: Exception) -> Response:
    """One sentence for a path or a method that is not offered."""
    if not isinstance(error, HTTPException):
        raise error
    sentence = f"There is nothing at {request.url.path!r:.80}; send requests to POST /, and see GET /docs."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        sentence = f"{request.url.path} does not take {request.method:.20}; send requests to POST /, and see GET /docs."
    return JSONResponse({"detail": sentence}, error.status_code, error.headers)
