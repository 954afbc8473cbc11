"""Limits of the service: bytes, pixels, images, seconds, and places in the queue."""

from dataclasses import dataclass

MEGABYTE = 2**20


@dataclass(frozen=True)
class Limits:
    """The limits of a service.

    Attributes:
        body_bytes: of one request's body.
        held_bytes: of all bodies that are in memory at the same time.
        pixels: of one image, read from its header before it is decoded.
        images: in one request.
        waiting: images of all requests that are decoded, wait or are computed; more is answered with 503.
        batch: images that pass through the network together, at most; None: CPU_BATCH or GPU_BATCH of the batcher.
        read_seconds: for a body to arrive.
        answer_seconds: from the whole body to the answer; later is answered with 504.
        idle_seconds: a connection may be open without a whole request head.
        connections: open at the same time; further ones are closed.
        detections: in the answer for one image, at most.
        viewers: of the live stream.
    """

    body_bytes: int = 20 * MEGABYTE
    held_bytes: int = 320 * MEGABYTE
    pixels: int = 2**26
    images: int = 32
    waiting: int = 128
    batch: int | None = None
    read_seconds: float = 20.0
    answer_seconds: float = 30.0
    idle_seconds: float = 30.0
    connections: int = 512
    detections: int = 10_000
    viewers: int = 8
