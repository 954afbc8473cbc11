"""The routes that detect: /detect, and DeepStack's /v1/vision."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from fastapi import FastAPI, Request, Response

from yolo.deploy.metadata import package_version
from yolo.serve import deepstack
from yolo.serve.batcher import Settings
from yolo.serve.detection import (
    LEAST_THRESH,
    Found,
    Service,
    answered,
    detect_parts,
    drawn_image,
    drawn_type,
    full,
    json_answer,
    model_of,
    settings_of,
)
from yolo.serve.http.access import Access, given_key, is_key
from yolo.serve.http.body import Gone, read_body
from yolo.serve.http.guard import GONE
from yolo.serve.http.multipart import Part, is_form, read_parts
from yolo.serve.http.refusal import JSON, RefusedError, error_response
from yolo.serve.images import is_image
from yolo.serve.models import ServedModel

LARGE_FORM = 2**16  # bytes; larger forms are parsed outside of the event loop
FEW_BOXES = 500  # detections; smaller answers are built in the event loop: 2 ms, like passing them to a thread

FILE = {"type": "string", "format": "binary"}
FORM = {"schema": {"type": "object", "properties": {"image": FILE}}}
BODY = {
    "requestBody": {"required": True, "content": {"image/*": {"schema": FILE}, "multipart/form-data": FORM}}
}  # of /detect
FIELDS = {"image": FILE, "min_confidence": {"type": "number", "default": 0.4}, "api_key": {"type": "string"}}
DEEPSTACK_FORM = {"schema": {"type": "object", "required": ["image"], "properties": FIELDS}}
FORM_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": DEEPSTACK_FORM}}}  # of DeepStack
PARAMETERS = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": {"type": kind}, "description": what}
        for name, kind, what in (
            ("model", "string", "name of a network, see /models; the first without it"),
            ("thresh", "number", "scores must exceed it; .001 to 1"),
            ("nms", "string", "highest IoU of two boxes of a class, 0 to 1; `off` leaves out NMS"),
            ("max", "integer", "detections of an image, at most"),
        )
    ]
}
STATUSES = {
    400: "a damaged form, no image",
    401: "no API key, or a wrong one",
    408: "the body took too long",
    413: "too many bytes, pixels or images",
    415: "no image file",
    422: "a damaged image, a wrong parameter",
    503: "too many images are waiting; Retry-After: seconds until the next try",
    504: "the answer would come too late",
}
RESPONSES = {status: {"description": text} for status, text in STATUSES.items()}


def add_routes(app: FastAPI, service: Service, access: Access) -> None:
    """Add the routes that detect."""

    @app.post("/detect", summary="Detect in one image or many", responses=RESPONSES, openapi_extra=BODY | PARAMETERS)
    async def detect(request: Request) -> Response:
        """The body is the file of an image, or a form of one or more files. The answer is JSON; for one image, the
        header `Accept: image/jpeg` or `image/png` requests the image with its boxes."""
        return await _or_refusal(_detect(service, request), error_response)

    _add_codeproject(app, service, access)  # before the routes whose patterns match its paths

    as_deepstack = {"responses": RESPONSES, "openapi_extra": FORM_BODY}

    @app.post("/v1/vision/detection", summary="Detect, as DeepStack answers", **as_deepstack)
    async def vision(request: Request) -> Response:
        """A form with the file `image`, and the fields `min_confidence` (default .4) and `api_key`."""
        name = request.query_params.get("model")
        return await _or_refusal(_vision(service, access, request, name), _deepstack_error)

    @app.post("/v1/vision/custom/{name}", summary="Detect with a network by its name", **as_deepstack)
    async def custom(request: Request, name: str) -> Response:
        """As /v1/vision/detection."""
        return await _or_refusal(_vision(service, access, request, name), _deepstack_error)

    @app.post("/v1/vision/{other:path}", include_in_schema=False)
    async def not_activated(other: str) -> Response:
        line = deepstack.NOT_ACTIVATED.get(other.split("/")[0])
        return _deepstack_error(RefusedError(403, line) if line else RefusedError(404, "not found"))


def _add_codeproject(app: FastAPI, service: Service, access: Access) -> None:
    """Add the routes of CodeProject.AI that Blue Iris uses and DeepStack does not have."""

    @app.api_route("/v1/vision/custom/list", methods=["GET", "POST"], include_in_schema=False)
    async def custom_list(request: Request) -> Response:
        return await _or_refusal(_custom_list(service, access, request), _deepstack_error)

    @app.get("/v1/status/ping", include_in_schema=False)
    async def ping() -> dict:
        return {"success": True}

    @app.get("/v1/status/updateavailable", include_in_schema=False)
    async def update_available() -> Response:
        return Response(deepstack.update_answer(package_version()), media_type=JSON)


async def _detect(service: Service, request: Request) -> Response:
    query = dict(request.query_params)
    model = model_of(service, query.get("model"))
    settings = settings_of(query, model, service.limits)
    media_type = drawn_type(request.headers.get("accept", ""))

    async def finish(parts: Sequence[Part], deadline: float) -> Response:
        found = await detect_parts(service, model, parts, settings, deadline)
        if media_type is None:
            return Response(await _built(service, found, partial(json_answer, model, found)), media_type=JSON)
        loop = asyncio.get_running_loop()
        detections = found.computed[0].detections
        image = await loop.run_in_executor(service.pool, drawn_image, parts[0], detections, model.detector, media_type)
        return Response(image, media_type=media_type)

    def choose(parts: Sequence[Part]) -> list[Part]:
        files = [part for part in parts if part.file_name is not None or is_image(part.content) or not part.field]
        if not files or not files[0].content:
            raise RefusedError(400, "found no image in the body, expected the bytes of a file or a form with files")
        if len(files) > service.limits.images:
            raise RefusedError(413, f"found {len(files)} images, expected at most {service.limits.images}")
        if media_type is not None and len(files) > 1:
            raise RefusedError(400, f"found {len(files)} images and Accept: {media_type}, expected one image")
        return files

    return await _with_parts(service, request, choose, finish)


async def _vision(service: Service, access: Access, request: Request, name: str | None) -> Response:
    begun = time.monotonic()
    asked: list[tuple[ServedModel, Settings]] = []  # a client without the key learns nothing about models

    def choose(parts: Sequence[Part]) -> list[Part]:
        _check_form_key(access, request, parts)
        image = deepstack.image_of(parts)
        asked.append(_vision_settings(service, request.query_params, parts, name))
        return [image]

    async def finish(parts: Sequence[Part], deadline: float) -> Response:
        ((model, settings),) = asked
        found = await detect_parts(service, model, parts, settings, deadline)
        content = await _built(service, found, partial(_vision_answer, found, model, begun))
        return Response(content, media_type=JSON)

    return await _with_parts(service, request, choose, finish)


def _vision_settings(
    service: Service, query: Mapping[str, str], parts: Sequence[Part], name: str | None
) -> tuple[ServedModel, Settings]:
    if name is not None and name not in service.models:
        raise RefusedError(404, deepstack.NO_MODEL)
    model = model_of(service, name)
    try:
        settings = settings_of(query, model, service.limits)
    except RefusedError as error:
        raise RefusedError(400, error.line) from error
    return model, replace(settings, thresh=max(LEAST_THRESH, deepstack.confidence_of(parts)))


async def _custom_list(service: Service, access: Access, request: Request) -> Response:
    def choose(parts: Sequence[Part]) -> list[Part]:
        _check_form_key(access, request, parts)
        return []

    async def finish(_parts: Sequence[Part], _deadline: float) -> Response:
        return Response(deepstack.list_answer(list(service.models)), media_type=JSON)

    return await _with_parts(service, request, choose, finish)


def _check_form_key(access: Access, request: Request, parts: Sequence[Part]) -> None:
    """Raise RefusedError unless the API key, in the headers or else in the form, is that of the service."""
    by_header = given_key(request.headers)
    if not is_key(access, by_header if by_header is not None else deepstack.field_of(parts, "api_key")):
        raise RefusedError(401, deepstack.WRONG_KEY)


def _vision_answer(found: Found, model: ServedModel, begun: float) -> bytes:
    (image,), (computed,) = found.images, found.computed
    times = deepstack.Times(computed.network, time.monotonic() - begun)
    return deepstack.predictions_answer(computed.detections, model.detector.names, image.size, times)


async def _built(service: Service, found: Found, build: Callable[[], bytes]) -> bytes:
    """Return the answer that `build` makes; one with many boxes is made outside of the event loop."""
    if sum(len(each.detections) for each in found.computed) <= FEW_BOXES:
        return build()
    return await asyncio.get_running_loop().run_in_executor(service.pool, build)


async def _with_parts(
    service: Service,
    request: Request,
    choose: Callable[[Sequence[Part]], list[Part]],
    finish: Callable[[Sequence[Part], float], Awaitable[Response]],
) -> Response:
    """Read the body of a request, take room for its images, and answer it.

    Args:
        service: see Service.
        request: the request.
        choose: which parts are images; raises RefusedError.
        finish: returns the answer for them until a deadline.
    """
    headers = request.headers
    body = await read_body(request.receive, headers.get("content-length"), service.limits, service.bodies)
    taken = 0
    try:
        deadline = time.monotonic() + service.limits.answer_seconds
        content_type = headers.get("content-type", "")
        if len(body) < LARGE_FORM or not is_form(content_type):
            parts = read_parts(content_type, body, service.limits.images)
        else:
            parts = await asyncio.to_thread(read_parts, content_type, body, service.limits.images)
        files = choose(parts)
        if not service.room.take(len(files)):
            raise full(service)
        taken = len(files)
        return await answered(asyncio.ensure_future(finish(files, deadline)), request.receive, deadline)
    finally:
        service.room.give(taken)
        service.bodies.give(len(body))


async def _or_refusal(answer: Awaitable[Response], refusal: Callable[[RefusedError], Response]) -> Response:
    try:
        return await answer
    except RefusedError as error:
        return refusal(error)
    except Gone:
        return Response(status_code=GONE)


def _deepstack_error(error: RefusedError) -> Response:
    status, body = deepstack.error_answer(error)
    return Response(body, status, error.headers, JSON)
