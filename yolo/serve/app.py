"""The application of the service: `make_app` returns it, with routes around the networks; an ASGI server runs it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import torch
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import HTTPException
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from yolo.deploy.metadata import package_version
from yolo.detect.pipeline import one_opencv_thread
from yolo.engines.pytorch import TorchMaps
from yolo.pages.page import render
from yolo.serve.batcher import Batcher, use_threads, workers_for
from yolo.serve.detection import Service
from yolo.serve.http.access import Access
from yolo.serve.http.body import Room
from yolo.serve.http.guard import Guard
from yolo.serve.http.refusal import MISTAKE, RefusedError, error_response
from yolo.serve.limits import Limits
from yolo.serve.live import BOUNDARY, LiveVideo
from yolo.serve.metrics import CONTENT_TYPE, Metrics
from yolo.serve.models import ServedModel
from yolo.serve.page import service_page
from yolo.serve.routes import add_routes

DOCS = Path(__file__).parent / "http" / "templates"
MOST_DECODERS = 8  # threads, each of which may hold the pixels of an image
LAST_SECONDS = 30.0  # for images that wait when the service stops


def make_app(
    models: Sequence[ServedModel],
    limits: Limits = Limits(),  # noqa: B008 - frozen
    access: Access = Access(),  # noqa: B008 - frozen
    stream: str | None = None,
    log_requests: bool = False,
) -> FastAPI:
    """Return the application.

    Args:
        models: the networks; the first is the default of requests.
        limits: of each request.
        access: which clients are allowed.
        stream: a source of video for the first network, which `/stream` shows; None without one.
        log_requests: whether each request is logged as a line.

    Raises:
        DatasetError: the source of video does not exist.
    """
    metrics = Metrics()
    service = _service(models, limits, metrics)
    video = None
    if stream is not None:
        video = LiveVideo(stream, models[0].detector, service.batchers[models[0].name], limits.detections)
    app = FastAPI(
        title="yolo-darknet serve",
        version=package_version(),
        lifespan=partial(_running, service, video),
        docs_url=None,  # FastAPI's own page loads scripts from another site
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.stopping = lambda: False  # a server replaces this function
    app.state.fault = partial(_fault, service.batchers)
    app.add_middleware(Guard, access=access, metrics=metrics, log_requests=log_requests)
    for kind, answer in ((HTTPException, _as_json), (404, _as_json), (405, _as_json), (Exception, _failed)):
        app.add_exception_handler(kind, answer)
    add_routes(app, service, access)
    _add_pages(app, service_page(limits.body_bytes, access.api_key is not None, video is not None))
    _add_state(app, service, metrics)
    if video is not None:
        _add_video(app, video, limits)
    return app


def _service(models: Sequence[ServedModel], limits: Limits, metrics: Metrics) -> Service:
    decoders = ThreadPoolExecutor(min(MOST_DECODERS, os.cpu_count() or 1), "decode", partial(use_threads, 1))
    return Service(
        {model.name: model for model in models},
        {model.name: _batcher(model, limits, metrics) for model in models},
        limits,
        Room(limits.waiting),
        Room(limits.held_bytes),
        decoders,
    )


@asynccontextmanager
async def _running(service: Service, video: LiveVideo | None, _app: FastAPI) -> AsyncIterator[None]:
    """Run the threads of the application. The end waits for accepted images."""
    with one_opencv_thread():
        for batcher in service.batchers.values():
            batcher.start()
        if video is not None:
            video.start()
        yield
        if video is not None:
            video.stop()
        for batcher in service.batchers.values():
            await asyncio.to_thread(batcher.close, LAST_SECONDS)
        if video is not None:
            await asyncio.to_thread(video.join, LAST_SECONDS)
        service.pool.shutdown(wait=False, cancel_futures=True)


def _fault(batchers: Mapping[str, Batcher]) -> str | None:
    """Return why a network will never be ready; None if all may become ready."""
    return next((f"{name}: {batcher.fault}" for name, batcher in batchers.items() if batcher.fault), None)


def _batcher(model: ServedModel, limits: Limits, metrics: Metrics) -> Batcher:
    detector = model.detector
    on_cpu = next(detector.network.parameters()).device.type == "cpu"
    workers = workers_for(torch.get_num_threads(), on_cpu, limits.batch)
    engine = detector.engine
    warm = engine.recorded if isinstance(engine, TorchMaps) else engine
    return Batcher(detector, workers, partial(metrics.batch, model.name), warm)


def _add_pages(app: FastAPI, page: str) -> None:
    @app.get("/", include_in_schema=False)
    async def show_page() -> Response:
        return Response(page, media_type="text/html")

    @app.get("/docs", include_in_schema=False)
    async def show_routes() -> Response:
        page = render(DOCS, "docs.html.jinja", operations=operations(app.openapi()))
        return Response(page, media_type="text/html")


def operations(schema: Mapping) -> list[dict]:
    """Return the operations of an OpenAPI description: path, method, summary, description, parameters, statuses."""
    found = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            names = "summary", "description", "parameters", "responses"
            found.append({"path": path, "method": method.upper(), **{name: operation.get(name) for name in names}})
    return found


def _add_state(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.get("/models", summary="The networks, their classes and inputs")
    async def list_models() -> dict:
        limits = {"bytes": service.limits.body_bytes, "pixels": service.limits.pixels, "images": service.limits.images}
        return {"models": [model.description() for model in service.models.values()], "limits": limits}

    @app.get("/health", summary="Whether the process is running")
    async def health() -> dict:
        return {"status": "ok"}

    @app.get("/ready", summary="Whether every network is loaded and warm; 503 until then")
    async def ready() -> Response:
        waits = [name for name, batcher in service.batchers.items() if not batcher.ready]
        if waits:
            return error_response(RefusedError(503, f"not ready: {', '.join(waits)}", {"Retry-After": "1"}))
        return Response('{"status":"ready"}', media_type="application/json")

    @app.get("/metrics", summary="Counts and times, as Prometheus reads them")
    async def prometheus() -> Response:
        waiting = {name: batcher.waiting for name, batcher in service.batchers.items()}
        gauges = {
            "yolo_queue_depth": ("Decoded images that wait for the network.", waiting),
            "yolo_images_held": ("Images that are decoded, wait or are computed.", {"": service.room.taken}),
            "yolo_body_bytes": ("Bytes of bodies in memory.", {"": service.bodies.taken}),
        }
        return Response(metrics.text(gauges), media_type=CONTENT_TYPE)


class LiveResponse(StreamingResponse):
    """The newest frames of a video for one viewer, who is counted before the answer begins: many requests at once would
    all find a free place otherwise. The generator is closed at the end, also after an error; else that waits for
    Python's garbage collection."""

    def __init__(self, video: LiveVideo, most: int, stopping: Callable[[], bool]) -> None:
        super().__init__(video.parts(stopping), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.place = partial(video.viewer, most)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self.place():
                await super().__call__(scope, receive, send)
        except RefusedError as error:
            await error_response(error)(scope, receive, send)
        finally:
            await self.body_iterator.aclose()


def _add_video(app: FastAPI, video: LiveVideo, limits: Limits) -> None:
    @app.get("/stream", summary="The live video with boxes, as MJPEG")
    async def stream() -> Response:
        return LiveResponse(video, limits.viewers, lambda: app.state.stopping())

    @app.get("/stream/stats", summary="Frames per second of the live video")
    async def stream_stats() -> dict:
        return video.stats()


async def _failed(_request: Request, _error: Exception) -> Response:
    """Answer after an internal error; the server logs its traceback."""
    return error_response(RefusedError(500, MISTAKE))


async def _as_json(_request: Request, error: HTTPException) -> Response:
    return error_response(RefusedError(error.status_code, str(error.detail), error.headers))
