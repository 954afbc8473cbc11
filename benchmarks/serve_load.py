"""`yolo-darknet serve` under load, with requests over loopback from a client process, beside the network alone.

  load     for each number of clients that request without a pause: requests per second as a ratio to the rate of the
           network alone in the same run (prepared images, the same engine, its best mix of workers and batches; both
           take turns, medians over the rounds), and p50, p95, p99 of the answers, p99 as a ratio to the time of a
           batch. Answers count from when each client has had one to the end. Goals: a ratio of at least .9 from 8
           clients on, p99 below 3 times the time of a batch. Service and client use the same cores: their CPU time
           is printed for each image. The mean answer takes clients / rate (Little's law), in any order of the
           images: where that is above 3 batches, only larger batches reach the goal (--batch).
  abuse    thousands of requests, some of them broken: truncated images and forms, bodies that are too large,
           image bombs, other files, slow senders, clients that go. Goal: every good request is answered correctly,
           every broken one with its status, the memory of the service does not grow, and it ends cleanly.

Exit code 1 where a goal is missed. The networks have random weights but for the abuse, which runs shapes-small.

  python benchmarks/serve_load.py --cfg yolov4-tiny --clients 1 8 64 --seconds 6
  python benchmarks/serve_load.py --cfg yolov3 --clients 8 --seconds 10 --rounds 2
  python benchmarks/serve_load.py --cfg yolov4-tiny --clients 64 --batch 16 --seconds 6
  python benchmarks/serve_load.py --cfg --requests 10000
"""

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from yolo.console.option_types import cfg_file, positive, whole_number
from yolo.console.run import run
from yolo.data.shapes import draw_image
from yolo.detect.detector import Detector
from yolo.engines.build import build_engine
from yolo.model.network import Network
from yolo.model.weights import load_weights, save_weights
from yolo.names_file import read_names

GOAL_RATE, GOAL_P99 = 0.9, 3.0
FROM_CLIENTS = 8  # the goal of the rate holds from here on
QUIET = -6.0  # raw objectness; its sigmoid is .0025
IMAGES = 16
GROWTH = 1.15  # of the memory between the middle and the end
LONGEST_START = 300  # seconds
EXPECTED = {
    "truncated image": {422}, "truncated form": {400}, "huge": {413, None}, "huge chunked": {413, None}, "bomb": {413},
    "wrong type": {415}, "slow": {408, None}, "gone": {None}, "gone late": {None},
}  # fmt: skip
BROKEN = tuple(EXPECTED)


@dataclass
class Answers:
    """The answers to clients: seconds and answers of good requests, kinds of broken ones with their status.

    rate: answers per second while all clients asked.
    """

    rate: float = 0.0
    seconds: list[float] = field(default_factory=list)
    good: list[tuple[int, int, bytes]] = field(default_factory=list)  # number of the image, status, body
    broken: Counter = field(default_factory=Counter)


class Connection:
    """A connection of HTTP/1.1 that is kept."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader, self.writer = None, None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return status and body of its answer."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head, re.I)[1])
        body = await self.reader.readexactly(length)
        if re.search(rb"connection: close", head, re.I):
            self.close()
        return int(head.split(b" ", 2)[1]), body

    def close(self) -> None:
        """Close it; the next request opens another one."""
        if self.writer is not None:
            self.writer.close()
        self.reader, self.writer = None, None


def main() -> None:
    args = _arguments()
    torch.set_num_threads(args.threads)
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        for cfg in args.cfg:
            missed += load(cfg, Path(folder), args)
        if args.requests:
            missed += abuse(Path(folder), args)
    print("missed: " + "; ".join(missed) if missed else "all goals are reached")
    sys.exit(bool(missed))


@torch.no_grad()
def random_weights(cfg: Path, size: int, path: Path) -> Network:
    """Write random weights for a network that finds little, as trained ones do, and return it."""
    torch.manual_seed(0)
    network = Network.from_cfg(cfg, overrides={"width": str(size), "height": str(size)}).eval()
    for head in network.heads:
        bias = network.layers[network.sources[head][0]].conv.bias
        bias.view(len(network.layers[head].anchor_ids), -1)[:, 4] = QUIET
    save_weights(network, path)
    return network


def jpegs(width: int, height: int) -> list[bytes]:
    """Return drawn images as a camera sends them."""
    rng = np.random.default_rng(0)
    scenes = [draw_image(rng, (height, width))[0] for _ in range(IMAGES)]
    return [cv2.imencode(".jpg", scene[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for scene in scenes]


class Service:
    """The service as a process of its own."""

    def __init__(self, options: Sequence[str], threads: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, "-m", "yolo", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(re.search(r":(\d+) ", line)[1])
        end = time.monotonic() + LONGEST_START
        while self.get("/ready")[0] != 200:
            assert time.monotonic() < end, "the service is not ready"
            time.sleep(0.1)

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body."""

        async def ask() -> tuple[int, bytes]:
            return await Connection(self.port).ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

        return asyncio.run(ask())

    def cpu_seconds(self) -> float:
        """Return the CPU time of all threads so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: proc(5)

    def memory(self) -> float:
        """Return the resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def network_seconds(self) -> tuple[float, int]:
        """Return the seconds of all batches and their number."""
        text = self.get("/metrics")[1].decode()
        total = sum(float(each) for each in re.findall(r"yolo_network_seconds_sum\S+ (\S+)", text))
        return total, sum(int(each) for each in re.findall(r"yolo_network_seconds_count\S+ (\d+)", text))

    def stop(self) -> int:
        """End it as `docker stop` does; return its exit code."""
        self.process.terminate()
        return self.process.wait(60)

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def post(body: bytes, *headers: str) -> bytes:
    """Return a request for detections."""
    lines = ["POST /detect HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def load(cfg: Path, folder: Path, args: argparse.Namespace) -> list[str]:
    """Print the table of a network and return what misses the goals."""
    weights = folder / f"{cfg.stem}.weights"
    network = random_weights(cfg, args.size, weights)
    names = folder / "names"
    names.write_text("".join(f"class {number}\n" for number in range(network.classes)))
    options = ["--cfg", str(cfg), "--weights", str(weights), "--names", str(names), "--engine", args.engine]
    options += ["--set", f"width={args.size}", f"height={args.size}", "--batch", str(args.batch)]
    with Service(options, args.threads) as service:
        return under_load(service, network, cfg, args)


def under_load(service: Service, network: Network, cfg: Path, args: argparse.Namespace) -> list[str]:
    """Print the rows of a network's table and return what misses the goals."""
    engine = build_engine(network, args.engine)
    requests = [post(image) for image in jpegs(args.image_width, args.image_width * 3 // 4)]
    missed = []
    mixes = [
        (1, args.threads, 1),
        (1, args.threads, 8),
        (args.threads, 1, 1),
        (args.threads, 1, 4),
        (args.threads, 1, 8),
    ]
    shape = (network.input.channels, args.size, args.size)
    tried = {mix: alone(engine, shape, mix, args.seconds / 2) for mix in mixes}
    best = max(tried, key=tried.__getitem__)
    workers, threads, batch = best
    print(f"{cfg.stem} {args.size}, {args.engine}: alone {workers} workers x {threads} threads, batches of {batch}")
    for clients in args.clients:
        measured = Measured()
        asyncio.run(ask_for(service.port, requests, clients, args.seconds / 2))
        for _ in range(args.rounds):
            measured.alone.append(alone(engine, shape, best, args.seconds))
            measure(service, requests, clients, args.seconds, measured)
        missed += [f"{cfg.stem} {clients} clients: {each}" for each in report(clients, measured)]
    return missed


@dataclass
class Measured:
    """Of each round: images per second of the network alone and of the service, seconds of a batch, CPU milliseconds
    of service and client for an image. seconds: of all answers."""

    alone: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)
    service_ms: list[float] = field(default_factory=list)
    client_ms: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def measure(service: Service, requests: list[bytes], clients: int, seconds: float, measured: Measured) -> None:
    """Add a round of the service."""
    before, used, own = service.network_seconds(), service.cpu_seconds(), time.process_time()
    answers = asyncio.run(ask_for(service.port, requests, clients, seconds))
    own, used, after = time.process_time() - own, service.cpu_seconds() - used, service.network_seconds()
    assert {status for _, status, _ in answers.good} == {200}
    measured.rates.append(answers.rate)
    measured.batches.append((after[0] - before[0]) / max(1, after[1] - before[1]))
    measured.service_ms.append(1000 * used / len(answers.good))
    measured.client_ms.append(1000 * own / len(answers.good))
    measured.seconds += answers.seconds


def report(clients: int, measured: Measured) -> list[str]:
    """Print the row of a number of clients and return what misses the goals."""
    ratio = statistics.median(rate / own for rate, own in zip(measured.rates, measured.alone, strict=True))
    rate, batch = statistics.median(measured.rates), statistics.median(measured.batches)
    p50, p95, p99 = (float(np.percentile(measured.seconds, part)) for part in (50, 95, 99))
    print(
        f"  {clients:3} clients: {rate:.1f}/s, {ratio:.2f} of the network alone; p50 {1000 * p50:.0f} ms, "
        f"p95 {1000 * p95:.0f}, p99 {1000 * p99:.0f} = {p99 / batch:.1f} batches of {1000 * batch:.0f} ms "
        f"(mean at this rate {clients / rate / batch:.1f}); CPU for an image: service "
        f"{statistics.median(measured.service_ms):.1f} ms, client {statistics.median(measured.client_ms):.2f} ms",
        flush=True,
    )
    missed = []
    if clients >= FROM_CLIENTS and ratio < GOAL_RATE:
        missed.append(f"rate {ratio:.2f}")
    if p99 > GOAL_P99 * batch:
        missed.append(f"p99 {p99 / batch:.1f} batches")
    return missed


def alone(engine, shape: tuple[int, int, int], mix: tuple[int, int, int], seconds: float) -> float:  # noqa: ANN001
    """Return the images per second of the network. mix: workers, threads of each, images of a batch."""
    workers, threads, batch = mix
    counts = [0] * workers
    images = torch.rand(batch, *shape)

    def work(place: int) -> None:
        torch.set_num_threads(threads)
        while time.monotonic() < end:
            engine(images)
            counts[place] += batch

    engine(images)
    begun = time.monotonic()
    end = begun + seconds
    pool = [threading.Thread(target=work, args=(place,)) for place in range(workers)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    return sum(counts) / (time.monotonic() - begun)


async def ask_for(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Answers:
    """Let clients ask without a pause; their answers count from when each has had one, for some seconds."""
    answers = Answers()
    left = clients  # that have had no answer yet
    counted, end = 0, 0.0

    async def client(place: int) -> None:
        nonlocal left, counted, end
        connection = Connection(port)
        first = True
        while not end or time.monotonic() < end:
            start = time.monotonic()
            number = place % len(requests)
            status, body = await connection.ask(requests[number])
            now = time.monotonic()
            answers.good.append((number, status, body))
            if end:
                answers.seconds.append(now - start)
                counted += now < end
            left -= first
            first = False
            if not left and not end:
                end = now + seconds
            place += 1
        connection.close()

    await asyncio.gather(*map(client, range(clients)))
    answers.rate = counted / seconds
    return answers


def abuse(folder: Path, args: argparse.Namespace) -> list[str]:
    """Ask thousands of times, some of them broken; print a table and return what went wrong."""
    root = Path(__file__).resolve().parent.parent
    cfg, weights, names = (
        root / "cfg/shapes-small.cfg",
        root / "weights/shapes-small.weights",
        root / "data/shapes.names",
    )
    options = ["--cfg", str(cfg), "--weights", str(weights), "--names", str(names)]
    images = jpegs(320, 240)
    network = Network.from_cfg(cfg)
    load_weights(network, weights)
    expected = [Detector(network, read_names(names))(image).to_dict(read_names(names)) for image in images]
    rng = random.Random(0)
    plan = [rng.choice(BROKEN) if rng.random() < args.broken else None for _ in range(args.requests)]
    answers = Answers()
    memory = []
    parts = np.array_split(np.array(plan, object), 4)
    with Service([*options, "--read-timeout", "2", "--max-megabytes", "2"], args.threads) as service:
        for part in parts:
            asyncio.run(mistreat(service.port, images, list(part), args.abusers, answers))
            memory.append(service.memory())
        code = service.stop()
    good = sum(status == 200 and is_correct(body, expected[number]) for number, status, body in answers.good)
    asked = sum(kind is None for kind in plan)
    missed = []
    print(f"abuse: {good} of {asked} good requests answered right, with {args.abusers} clients")
    if good != asked:
        missed.append(f"{asked - good} good requests: {Counter(status for _, status, _ in answers.good)}")
    for kind in BROKEN:
        found = {status: count for (name, status), count in sorted(answers.broken.items(), key=str) if name == kind}
        shown = ", ".join(f"{status or 'no answer'} x {count}" for status, count in found.items())
        print(f"  {kind}: {shown}")
        if set(found) - EXPECTED[kind]:
            missed.append(f"{kind}: {found}")
    print(f"  memory after each quarter: {', '.join(f'{each:.0f}' for each in memory)} MB; exit code {code}")
    if memory[-1] > GROWTH * memory[1]:
        missed.append("the memory grows")
    return missed + [f"exit code {code}"] * bool(code)


def is_correct(body: bytes, expected: list[dict]) -> bool:
    """Whether an answer has the detections that a Detector finds in the image."""
    found = json.loads(body)["results"][0]["detections"]
    return len(found) == len(expected) and all(
        (one["class_id"], one["label"]) == (two["class_id"], two["name"])
        and abs(one["score"] - two["score"]) < 1e-4
        and np.allclose(one["box"], two["box"], atol=0.02)
        for one, two in zip(found, expected, strict=True)
    )


async def mistreat(port: int, images: list[bytes], plan: list, clients: int, answers: Answers) -> None:
    """Carry out a plan of requests, None for a good one, by several clients."""
    work = iter(enumerate(plan))

    async def client() -> None:
        connection = Connection(port)
        for number, kind in work:
            place = number % len(images)
            if kind is None:
                answers.good.append((place, *await connection.ask(post(images[place]))))
            else:
                answers.broken[kind, await broken(port, kind, images[place])] += 1
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))


async def broken(port: int, kind: str, image: bytes) -> int | None:
    """Send one broken request; return the status of its answer, None without one."""
    connection = Connection(port)
    try:
        if kind in ("slow", "gone", "gone late", "huge chunked"):
            return await _misbehave(connection, kind, image)
        form = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.jpg"\r\n\r\n' + image[:500]
        request = {
            "truncated image": post(image[: len(image) // 2]),
            "truncated form": post(form, "Content-Type: multipart/form-data; boundary=x"),
            "huge": post(b"\xff\xd8" + bytes(3 * 2**20)),
            "bomb": post(bomb()),
            "wrong type": post(b"<svg xmlns='http://www.w3.org/2000/svg'/>" * 50, "Content-Type: image/png"),
        }[kind]
        return (await connection.ask(request))[0]
    except (ConnectionError, asyncio.IncompleteReadError):  # it was still sending
        return None
    finally:
        connection.close()


async def _misbehave(connection: Connection, kind: str, image: bytes) -> int | None:
    connection.reader, connection.writer = await asyncio.open_connection("127.0.0.1", connection.port)
    writer = connection.writer
    if kind == "huge chunked":
        writer.write(b"POST /detect HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        block = b"10000\r\n" + bytes(2**16) + b"\r\n"
        return (await connection.ask(block * 40 + b"0\r\n\r\n"))[0]
    request = post(image)
    if kind == "slow":
        head = request.index(b"\r\n\r\n") + 4
        writer.write(request[:head])
        for byte in range(6):
            writer.write(image[byte : byte + 1])
            await asyncio.sleep(0.5)
        return (await connection.ask(b""))[0]
    writer.write(request if kind == "gone late" else request[: len(request) // 2])
    await writer.drain()
    return None


def bomb() -> bytes:
    """Return a JPEG of some hundred bytes whose header says 30000 x 30000."""
    content = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 30000, 30000)
    return bytes(content)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    one = whole_number(1)
    parser.add_argument("--cfg", type=cfg_file, nargs="*", default=[cfg_file("yolov4-tiny")])
    parser.add_argument("--size", type=one, default=416, help="width and height of the input")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--batch", type=one, default=4, help="of the service, at most")
    parser.add_argument("--clients", type=one, nargs="*", default=[1, 8, 64])
    parser.add_argument("--image-width", type=one, default=640, help="of the images, which are 4:3")
    parser.add_argument("--seconds", type=positive, default=8.0, help="of each measurement")
    parser.add_argument("--rounds", type=one, default=3)
    parser.add_argument("--threads", type=one, default=2)
    parser.add_argument("--requests", type=whole_number(0), default=0, help="of the abuse")
    parser.add_argument("--broken", type=float, default=0.05, help="fraction of broken requests")
    parser.add_argument("--abusers", type=one, default=32)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
