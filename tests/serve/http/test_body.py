"""Bodies as they arrive: in pieces, too large, too slow, not at all."""

import asyncio
from dataclasses import replace

import pytest

from yolo.serve.http.body import Gone, Room, read_body
from yolo.serve.http.refusal import RefusedError
from yolo.serve.limits import Limits

LIMITS = replace(Limits(), body_bytes=100, read_seconds=0.3)


def read(pieces, declared=None, room=None, pause=0.0):
    """Read a body of pieces; None stands for a client that goes."""
    left = list(pieces)

    async def receive():
        await asyncio.sleep(pause)
        if not left:
            await asyncio.sleep(60)
        piece = left.pop(0)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": bool(left)}

    return asyncio.run(read_body(receive, declared, LIMITS, room or Room(10**6)))


@pytest.mark.parametrize("pieces", [[b""], [b"abc"], [b"a", b"", b"bc"], [b"x" * 60, b"y" * 40]])
def test_a_body_is_its_pieces(pieces):
    room = Room(100)
    body = read(pieces, room=room)
    assert body == b"".join(pieces) and room.taken == len(body)


@pytest.mark.parametrize("declared", [None, "3", "101", "99999999999999999"])
def test_a_body_that_is_too_large_is_refused_and_leaves_no_bytes_behind(declared):
    room = Room(1000)
    with pytest.raises(RefusedError) as refused:
        read([b"x" * 60] * 4, declared, room)
    assert refused.value.status == 413 and room.taken == 0
    assert refused.value.headers["Connection"] == "close"


def test_what_is_too_large_is_not_read_to_its_end():
    pieces = [b"x" * 60] * 100
    asked = []

    async def receive():
        asked.append(1)
        return {"type": "http.request", "body": pieces[0], "more_body": True}

    with pytest.raises(RefusedError):
        asyncio.run(read_body(receive, None, LIMITS, Room(1000)))
    assert len(asked) == 2 + 17  # 100 bytes that count, and 1,000 that are dropped, in pieces of 60


def test_a_body_that_is_too_large_is_not_reported_as_slow(monkeypatch):
    monkeypatch.setattr("yolo.serve.http.body.READ_OFF_SECONDS", 0.5)  # longer than the body may take
    with pytest.raises(RefusedError) as refused:
        read([b"x" * 101, *[b""] * 99], pause=0.05)
    assert refused.value.status == 413


@pytest.mark.parametrize("declared", ["-1", "1e3", "", "٣", "9" * 30, "1 2"])
def test_a_length_that_is_no_number_is_refused(declared):
    with pytest.raises(RefusedError) as refused:
        read([b"x"], declared)
    assert refused.value.status == 400


def test_a_slow_sender_is_refused_and_leaves_no_bytes_behind():
    room = Room(1000)
    with pytest.raises(RefusedError) as refused:
        read([b"x"] * 50, "50", room, pause=0.02)
    assert refused.value.status == 408 and room.taken == 0


def test_a_client_that_goes_leaves_no_bytes_behind():
    room = Room(1000)
    with pytest.raises(Gone):
        read([b"x" * 10, None, b""], "50", room)
    assert room.taken == 0


def test_all_bodies_together_have_a_limit():
    room = Room(50)
    assert room.take(20)
    with pytest.raises(RefusedError) as refused:
        read([b"x" * 20, b"x" * 20], "40", room)
    assert (refused.value.status, refused.value.headers["Retry-After"], room.taken) == (503, "1", 20)
