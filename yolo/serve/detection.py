"""Answer a request for detections: read its settings, decode its images, detect, and build the answer."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import ceil, isfinite
from typing import Any

from yolo.data.images import decode_image, ignore_remark
from yolo.detect.detector import Detector
from yolo.detect.outputs.result import color_image
from yolo.errors import shorten
from yolo.files.image_file import encoded_image
from yolo.records import Detections
from yolo.serve.batcher import NO_NMS, Batcher, Computed, Job, Settings
from yolo.serve.http.body import Gone, Room
from yolo.serve.http.multipart import Part
from yolo.serve.http.refusal import FULL, TOO_LATE, RefusedError
from yolo.serve.images import PreparedImage, prepare_image
from yolo.serve.limits import Limits
from yolo.serve.models import ServedModel

# Digits in one way only: with two, the time to refuse a long text would grow with the square of its length.
NUMBER = re.compile(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE]-?[0-9]{1,3})?")
LEAST_THRESH = 0.001  # below it, a network with many classes has a million boxes
NO_NMS_TEXT = "off"
DRAWN = {"image/jpeg": ".jpg", "image/png": ".png"}
DRAWN_QUALITY = 90  # of a JPEG with boxes
MOST_JPEG_SIDE = 65_500  # pixels; libjpeg's JPEG_MAX_DIMENSION
LONGEST_WAIT = 60  # seconds of Retry-After
MILLISECONDS = 1000
BOX_DIGITS = 4  # with 2, a client's own NMS kept other boxes than ours at 12 of 4,554 settings; with 4 at none


@dataclass(frozen=True)
class Service:
    """The objects that all routes use.

    models, batchers: by the names of the networks, the default first. limits: of each request. room: for images that
    are decoded, wait or are computed. bodies: for the bytes of bodies. pool: decodes and draws.
    """

    models: Mapping[str, ServedModel]
    batchers: Mapping[str, Batcher]
    limits: Limits
    room: Room
    bodies: Room
    pool: ThreadPoolExecutor


@dataclass(frozen=True)
class Found:
    """The images of a request and their detections. decode: seconds for all of them."""

    images: Sequence[PreparedImage]
    computed: Sequence[Computed]
    decode: float


def model_of(service: Service, name: str | None) -> ServedModel:
    """Return a model by its name, without one the first. Raises RefusedError."""
    if name is None:
        return next(iter(service.models.values()))
    if name not in service.models:
        raise RefusedError(422, f"model: found {shorten(name)!r}, expected one of {', '.join(service.models)}")
    return service.models[name]


def settings_of(query: Mapping[str, str], model: ServedModel, limits: Limits) -> Settings:
    """Return the settings in the parameters of an address. Raises RefusedError with status 422."""
    thresh = number_of(query, "thresh", model.detector.score_thresh, LEAST_THRESH)
    off = query.get("nms") == NO_NMS_TEXT
    nms = NO_NMS if off else number_of(query, "nms", model.detector.nms_thresh, 0.0)
    most = query.get("max", str(limits.detections))
    if not (most.isascii() and most.isdigit() and int(most[:9]) > 0 and len(most) < 9):
        raise RefusedError(422, f"max: found {shorten(most)!r}, expected a whole number from 1 on")
    return Settings(thresh, nms, min(int(most), limits.detections))


def number_of(query: Mapping[str, str], name: str, default: float, least: float) -> float:
    """Return a parameter of a request that is a number.

    Args:
        query: the parameters of the request.
        name: of the parameter.
        default: the number without it.
        least: the smallest number; the largest is 1.

    Raises:
        RefusedError: with status 422, the text is no such number.
    """
    text = query.get(name)
    if text is None:
        return default
    if not NUMBER.fullmatch(text) or not least <= float(text) <= 1:
        hint = f", or {NO_NMS_TEXT}" if name == "nms" else ""
        raise RefusedError(422, f"{name}: found {shorten(text)!r}, expected a number from {least:g} to 1{hint}")
    return float(text)


async def detect_parts(
    service: Service, model: ServedModel, parts: Sequence[Part], settings: Settings, deadline: float
) -> Found:
    """Detect in the images of a request. The caller has taken room for each.

    Args:
        service: see Service.
        model: which network.
        parts: the files.
        settings: see Settings.
        deadline: time.monotonic() after which an image that waits is not computed.

    Raises:
        RefusedError: as `prepare_image` does; 504 after the deadline; 500 if the network fails.
    """
    loop = asyncio.get_running_loop()
    prepare = partial(_prepared, detector=model.detector, limits=service.limits)
    batcher = service.batchers[model.name]
    with batcher.coming(len(parts)):
        if len(parts) == 1:
            prepared = [await loop.run_in_executor(service.pool, prepare, parts[0])]
        else:
            prepared = await asyncio.gather(*(loop.run_in_executor(service.pool, prepare, part) for part in parts))
    now = time.monotonic()
    futures: list[Future] = [Future() for _ in prepared]
    batcher.put(
        [
            Job(image.input, image.placement, settings, now, deadline, future)
            for (image, _), future in zip(prepared, futures, strict=True)
        ]
    )
    if len(futures) == 1:
        computed = [await asyncio.wrap_future(futures[0])]
    else:
        computed = await asyncio.gather(*map(asyncio.wrap_future, futures))
    return Found([image for image, _ in prepared], computed, sum(seconds for _, seconds in prepared))


def _prepared(part: Part, detector: Detector, limits: Limits) -> tuple[PreparedImage, float]:
    begun = time.monotonic()
    image = prepare_image(part, detector, limits)
    return image, time.monotonic() - begun


async def answered(work: asyncio.Task, receive: Callable[[], Any], deadline: float) -> Any:
    """Return the result of `work`, unless the client disconnects or the deadline passes before.

    Raises:
        RefusedError: as `work` does; 504 after the deadline.
        Gone: the client has closed the connection.
    """
    gone = asyncio.ensure_future(receive())
    try:
        done, _ = await asyncio.wait(
            {work, gone}, timeout=deadline - time.monotonic(), return_when=asyncio.FIRST_COMPLETED
        )
        if work in done:
            return work.result()
        work.cancel()
        if gone in done:
            raise Gone
        raise RefusedError(504, TOO_LATE)
    finally:
        gone.cancel()


def full(service: Service) -> RefusedError:
    """Return the error for a request without room, with the seconds after which there may be room."""
    seconds = service.room.taken * max(each.seconds_an_image for each in service.batchers.values())
    wait = str(min(LONGEST_WAIT, max(1, ceil(seconds))))
    return RefusedError(503, FULL, {"Retry-After": wait})


def json_answer(model: ServedModel, found: Found) -> bytes:
    """Return the answer of /detect."""
    results = [
        {
            "name": image.name,
            "width": image.size[1],
            "height": image.size[0],
            "detections": rows(computed.detections, model.detector.names),
        }
        for image, computed in zip(found.images, found.computed, strict=True)
    ]
    seconds = {
        "queue": max(each.queue for each in found.computed),
        "decode": found.decode,
        "network": max(each.network for each in found.computed),
        "postprocess": sum(each.postprocess for each in found.computed),
    }
    times = {name: round(MILLISECONDS * value, 2) for name, value in seconds.items()}
    answer = {"model": model.name, "results": results, "time_ms": times}
    return json.dumps(answer, separators=(",", ":"), allow_nan=False).encode()


def rows(detections: Detections, names: Sequence[str]) -> list[dict]:
    """Return the detections of an image as /detect lists them, without boxes that JSON has no numbers for."""
    columns = detections.labels.tolist(), detections.scores.tolist(), detections.boxes.tolist()
    return [
        {
            "label": names[label],
            "class_id": label,
            "score": round(score, 5),
            "box": [round(side, BOX_DIGITS) for side in box],
        }
        for label, score, box in zip(*columns, strict=True)
        if all(map(isfinite, box))
    ]


def drawn_image(part: Part, detections: Detections, detector: Detector, media_type: str) -> bytes:
    """Return an image with the boxes of its detections, as a file.

    It is decoded again, which takes less than the network: the pixels of all images that wait would fill the memory.

    Args:
        part: the bytes of its file.
        detections: of the image.
        detector: which detected them.
        media_type: one of DRAWN.

    Raises:
        RefusedError: 413 for an image that is too wide or too high for a JPEG.
    """
    pixels = decode_image(part.content, "the image", detector.network.input.channels, ignore_remark)
    image = detections.draw(color_image(pixels), detector.names)
    height, width = image.shape[:2]
    if media_type == "image/jpeg" and max(height, width) > MOST_JPEG_SIDE:
        line = f"found {width} x {height} pixels, expected at most {MOST_JPEG_SIDE} a side for a JPEG, or image/png"
        raise RefusedError(413, line)
    ending = DRAWN[media_type]
    return encoded_image(image, ending, DRAWN_QUALITY if ending == ".jpg" else None)


def drawn_type(accept: str) -> str | None:
    """Return the image type that the header Accept prefers to JSON; None for JSON."""
    best, wanted = 0.0, None
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        weight = float(quality) if NUMBER.fullmatch(quality) else 0.0
        if weight > best and name in (*DRAWN, "image/*", "application/json", "application/*", "*/*"):
            best = weight
            wanted = name if name in DRAWN else "image/jpeg" if name == "image/*" else None
    return wanted
