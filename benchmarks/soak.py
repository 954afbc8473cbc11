"""Attack the package as an attacker and an unlucky user would, and print one table: tried and survived.

    python benchmarks/soak.py                  # all rows, about an hour on 2 cores
    python benchmarks/soak.py --share 0.02     # a fiftieth of the tries, some minutes
    python benchmarks/soak.py --only cfgs --only kills

A mutated file survives if it is read, or refused by one of the package's own errors in one line. Anything else is
printed with the seed that makes it again, and the exit code is 1.
"""

import argparse
import errno
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from yolo.cfg import parse_cfg
from yolo.data.images import ignore_remark, read_image
from yolo.errors import CfgError, DatasetError, DivergedError, OutputError, WeightsError
from yolo.files import write_text
from yolo.formats.coco_annotations import read_coco
from yolo.formats.label_files import read_rows
from yolo.formats.voc_xml import read_annotation_parts
from yolo.model.network import Network, build
from yolo.model.weights import load_weights, save_weights
from yolo.train.checkpoint import load_checkpoint
from yolo.train.optimizer import make_optimizer

PROJECT = Path(__file__).resolve().parent.parent
OWN_ERRORS = (CfgError, DatasetError, WeightsError, DivergedError, OutputError, OSError)
MOST_SECONDS = 30.0  # of the processor, for one mutated file
PATIENCE = 300  # seconds for a process to get somewhere
KILLED_STEPS = 400
GROWTH = 64 * 2**20  # bytes that 2,000 images may add to the process
NUMBERS = ("0", "-1", "1", "2", "65536", "2147483648", "1e308", "nan", "inf", "", "1,2,3", "9" * 400)
SIDE, CLASSES = 64, 2
CFG = """[net]
batch=4
width=64
height=64
channels=3
learning_rate=0.001
max_batches={steps}
[convolutional]
batch_normalize=1
filters=8
size=3
stride=4
pad=1
activation=leaky
[convolutional]
filters=14
size=1
activation=linear
[yolo]
mask=0,1
anchors=12,12, 24,24
classes=2
num=2
jitter=.2
"""


@dataclass(frozen=True)
class Row:
    """What was tried, how often, and what did not survive, in words."""

    name: str
    tried: int
    failures: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the tries of each row; default 1")
    parser.add_argument("--seed", type=int, default=0, help="of all mutations and moments; default 0")
    parser.add_argument("--only", action="append", choices=tuple(ROWS), help="this row; may be repeated")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only or ROWS:
            work, tries = ROWS[name]
            start = time.monotonic()
            place = Path(folder, name)
            place.mkdir()
            row = work(place, max(1, round(tries * args.share)), args.seed)
            rows.append(row)
            print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    width = max(len(row.name) for row in rows)
    print(f"| {'what':{width}} | tried | survived |\n|{'-' * (width + 2)}|---|---|")
    for row in rows:
        print(f"| {row.name:{width}} | {row.tried:,} | {row.tried - len(row.failures):,} |")
    for row in rows:
        for failure in row.failures[:5]:
            print(f"{row.name}: {failure}")
    sys.exit(any(row.failures for row in rows))


def survived(name: str, tries: int, seed: int, attempt: Callable[[random.Random], None]) -> Row:
    """Call `attempt` with the random numbers of each try; whatever it raises but the package's own errors fails."""
    failures = []
    for number in range(tries):
        start = time.process_time()
        try:
            attempt(random.Random(f"{seed} {name} {number}"))
        except OWN_ERRORS as error:
            if "\n" in str(error):
                failures.append(f"try {number}: an error of several lines: {error!r}")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            failures.append(f"try {number}: {type(error).__name__}: {error}"[:300])
        if time.process_time() - start > MOST_SECONDS:
            failures.append(f"try {number}: over {MOST_SECONDS:g} s")
    return Row(name, tries, tuple(failures))


def mutated_text(text: str, draw: random.Random) -> str:
    """Return a text with one to five lines that are dropped, repeated, swapped, or have another number or letter."""
    lines = text.splitlines()
    for _ in range(draw.randint(1, 5)):
        if not lines:
            break
        here, there = draw.randrange(len(lines)), draw.randrange(len(lines))
        kind = draw.randrange(5)
        if kind == 0:
            del lines[here]
        elif kind == 1:
            lines.insert(there, lines[here])
        elif kind == 2:
            lines[here], lines[there] = lines[there], lines[here]
        elif kind == 3:
            lines[here] = f"{lines[here].partition('=')[0]}={draw.choice(NUMBERS)}"
        else:
            place = draw.randint(0, len(lines[here]))
            lines[here] = lines[here][:place] + chr(draw.randrange(1, 0x250)) + lines[here][place + 1 :]
    return "\n".join(lines)


def mutated_bytes(content: bytes, draw: random.Random) -> bytes:
    """Return bytes with flipped bits, a part cut off, dropped, repeated or overwritten."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        if not data:
            break
        start = draw.randrange(len(data))
        end = min(len(data), start + draw.choice((1, 2, 4, 8, 64, 1024)))
        kind = draw.randrange(5)
        if kind == 0:
            data[start] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[start:]
        elif kind == 2:
            del data[start:end]
        elif kind == 3:
            data[start:start] = data[start:end]
        else:
            data[start:end] = draw.randbytes(end - start)
    return bytes(data)


def cfgs(_folder: Path, tries: int, seed: int) -> Row:
    texts = [path.read_text() for path in sorted((PROJECT / "cfg").glob("*.cfg"))]

    def attempt(draw: random.Random) -> None:
        build(parse_cfg(mutated_text(draw.choice(texts), draw), "mutated.cfg"))

    return survived("mutated cfgs of the whole zoo", tries, seed, attempt)


def mutated_files(
    name: str, contents: list[bytes], ending: str, read: Callable[[Path], object]
) -> Callable[[Path, int, int], Row]:
    """Return the row that mutates one of `contents` and reads it from a file."""

    def work(folder: Path, tries: int, seed: int) -> Row:
        path = folder / f"mutated{ending}"

        def attempt(draw: random.Random) -> None:
            path.write_bytes(mutated_bytes(draw.choice(contents), draw))
            read(path)

        return survived(name, tries, seed, attempt)

    return work


def small_network(steps: int = 6) -> Network:
    torch.manual_seed(0)
    return build(parse_cfg(CFG.format(steps=steps), "soak.cfg"))[0]


def weights(folder: Path, tries: int, seed: int) -> Row:
    network = small_network()
    contents = []
    for ending in (".weights", ".safetensors"):
        save_weights(network, folder / f"whole{ending}")
        contents.append((ending, (folder / f"whole{ending}").read_bytes()))

    def attempt(draw: random.Random) -> None:
        ending, content = draw.choice(contents)
        path = folder / f"mutated{ending}"
        path.write_bytes(mutated_bytes(content, draw))
        load_weights(network, path)

    return survived("mutated .weights and .safetensors", tries, seed, attempt)


def xml() -> bytes:
    boxes = "".join(
        f"<object><name>c{n % 2}</name><difficult>0</difficult><bndbox><xmin>{n}</xmin><ymin>{n}</ymin>"
        f"<xmax>{n + 20}</xmax><ymax>{n + 30}</ymax></bndbox></object>"
        for n in range(1, 8)
    )
    size = "<size><width>64</width><height>64</height><depth>3</depth></size>"
    return f"<annotation><filename>a.jpg</filename>{size}{boxes}</annotation>".encode()


def coco() -> bytes:
    boxes = ",".join(
        f'{{"id":{n},"image_id":1,"category_id":{n % 2 + 1},"bbox":[{n},{n},9,9],"area":81,"iscrowd":0}}'
        for n in range(1, 9)
    )
    return (
        '{"images":[{"id":1,"file_name":"a.jpg","width":64,"height":64}],"categories":[{"id":1,"name":"c0"},'
        f'{{"id":2,"name":"c1"}}],"annotations":[{boxes}]}}'
    ).encode()


def labels() -> bytes:
    return "".join(f"{n % 2} 0.{n}5 0.5 0.1 0.2\n" for n in range(9)).encode()


def encoded(ending: str) -> bytes:
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    return cv2.imencode(ending, cv2.GaussianBlur(image, (9, 9), 0))[1].tobytes()


def data_set(folder: Path) -> tuple[Path, Path]:
    """Write twelve images with a box each, and a cfg; return the .data file and the cfg."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(exist_ok=True)
    names = []
    for number in range(12):
        image = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
        left, top = rng.integers(4, 36, 2)
        image[top : top + 20, left : left + 20] = (0, 250, 0) if number % 2 else (250, 0, 0)
        names.append(folder / "images" / f"{number}.png")
        cv2.imwrite(str(names[-1]), image)
        row = f"{number % 2} {(left + 10) / SIDE} {(top + 10) / SIDE} {20 / SIDE} {20 / SIDE}\n"
        (folder / "labels" / f"{number}.txt").write_text(row)
    (folder / "list.txt").write_text("".join(f"{name}\n" for name in names))
    (folder / "soak.names").write_text("a\nb\n")
    data = folder / "soak.data"
    data.write_text(f"classes={CLASSES}\ntrain={folder}/list.txt\nnames={folder}/soak.names\nbackup={folder}/backup\n")
    cfg = folder / "soak.cfg"
    cfg.write_text(CFG.format(steps=KILLED_STEPS))
    return data, cfg


def training(data: Path, cfg: Path, out: Path, *more: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
    command = [
        sys.executable, *launcher, "-m", "yolo", "train", "--cfg", cfg, "--data", data, "--out", out,
        "--workers", "1", "--device", "cpu", "--amp", "off", "--memory-format", "channels_last", *more,
    ]  # fmt: skip
    if launcher:
        del command[1 + len(launcher)]  # torchrun has a -m of its own
        command.insert(1 + len(launcher), "-m")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*map(str, command)], env=environment, start_new_session=True, **pipes)


def state(cfg: Path, path: Path) -> list[torch.Tensor]:
    """Return everything of a checkpoint that decides how a run goes on."""
    network = build(parse_cfg(cfg.read_text(), str(cfg)))[0]
    optimizer = make_optimizer(network, network.training_settings)
    load_checkpoint(path, network, optimizer)
    momentum = [each["momentum_buffer"] for each in optimizer.state_dict()["state"].values()]
    return [*network.state_dict().values(), *momentum]


def kills(folder: Path, tries: int, seed: int) -> Row:
    """Kill the whole process group at random moments, resume, and compare the end with that of an unbroken run."""
    data, cfg = data_set(folder)
    whole = training(data, cfg, folder / "whole")
    _, err = whole.communicate(timeout=PATIENCE)
    if whole.returncode:
        return Row("kill -9 at random moments, resumed bit-equal", tries, (err[-300:],) * tries)
    expected, failures = state(cfg, folder / "whole/soak_last.pt"), []
    for number in range(tries):
        draw, out = random.Random(f"{seed} kill {number}"), folder / f"run{number}"
        last = out / "soak_last.pt"
        for _ in range(draw.randint(1, 3)):
            process = training(data, cfg, out, *(("--resume", str(last)) if last.exists() else ("--overwrite",)))
            try:
                process.communicate(timeout=draw.uniform(2, 12))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        done = last.exists() and step_of(cfg, last) >= KILLED_STEPS
        if not done:
            process = training(data, cfg, out, *(("--resume", str(last)) if last.exists() else ("--overwrite",)))
            _, err = process.communicate(timeout=PATIENCE)
            if process.returncode:
                failures.append(f"run {number}: {err[-300:]}")
                continue
        if not all(map(torch.equal, state(cfg, last), expected)):
            failures.append(f"run {number}: other weights than without a break")
        elif left := [each.name for each in out.iterdir() if each.name.startswith(".soak")]:
            failures.append(f"run {number}: left {left}")
    return Row("kill -9 at random moments, resumed bit-equal", tries, tuple(failures))


def step_of(cfg: Path, path: Path) -> int:
    network = build(parse_cfg(cfg.read_text(), str(cfg)))[0]
    return load_checkpoint(path, network, make_optimizer(network, network.training_settings)).step


def ranks(folder: Path, tries: int, _seed: int) -> Row:
    """Two ranks, one killed: the other saves, says so in one line, and the run ends."""
    data, cfg = data_set(folder)
    cfg.write_text(CFG.format(steps=10**6))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    failures = []
    for number in range(tries):
        out = folder / f"run{number}"
        process = training(data, cfg, out, launcher=launcher)
        end = time.monotonic() + PATIENCE
        while not (out / "soak_last.pt").exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if len(children) == 2:
            os.kill(int(children[1]), signal.SIGKILL)
        try:
            _, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            err = process.communicate()[1]
            failures.append(f"run {number}: did not end: {err[-200:]}")
            continue
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        if len(children) != 2 or len(lines) > 1 or "another process of this run was lost" not in err:
            failures.append(f"run {number}: {len(children)} ranks, lines {lines}: {err[-200:]}")
        else:
            step_of(cfg, out / "soak_last.pt")
    return Row("two ranks, one killed: one line, steps saved", tries, tuple(failures))


def two_runs(folder: Path, tries: int, _seed: int) -> Row:
    data, cfg = data_set(folder)
    cfg.write_text(CFG.format(steps=10**6))
    failures = []
    for number in range(tries):
        out = folder / f"run{number}"
        first = training(data, cfg, out)
        end = time.monotonic() + PATIENCE
        while not (out / ".train.lock").exists() and first.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        second = training(data, cfg, out, "--overwrite")
        _, err = second.communicate(timeout=PATIENCE)
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
        if second.returncode != 2 or "another process at work" not in err:
            failures.append(f"run {number}: exit code {second.returncode}: {err[-200:]}")
    return Row("two trainings into one folder: the second stops", tries, tuple(failures))


@contextmanager
def full_beyond(size: int) -> Iterator[None]:
    """Let the system refuse to write beyond `size` bytes of a file, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def disks(folder: Path, tries: int, seed: int) -> Row:
    """A full disk at a random byte of each kind of write: the old file stays, nothing else is left, the file is named.

    Where mkfs or mount is not at hand, a limit on the size of files stands for the full disk.
    """
    network = small_network()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    writes = {
        "a.weights": lambda path: save_weights(network, path),
        "a.safetensors": lambda path: save_weights(network, path),
        "a.txt": lambda path: write_text(path, "x" * 9000),
    }

    def attempt(draw: random.Random) -> None:
        name = draw.choice(sorted(writes))
        path = folder / name
        path.write_bytes(b"old")
        found = None
        try:
            with full_beyond(draw.randint(0, 1000)):
                writes[name](path)
        except OSError as error:
            found = error
        if found is None or found.errno not in (errno.EFBIG, errno.ENOSPC) or str(found.filename) != str(path):
            raise AssertionError(f"{name}: {found!r}")
        if path.read_bytes() != b"old" or [each.name for each in folder.iterdir()] != [name]:
            raise AssertionError(f"{name}: {os.listdir(folder)}")
        path.unlink()

    return survived("a disk that is full at a random byte", tries, seed, attempt)


def growth(folder: Path, tries: int, _seed: int) -> Row:
    """Detect in many images in one process, and measure what it has grown by after the first tenth."""
    from yolo.detect.detector import Detector

    path = folder / "a.jpg"
    path.write_bytes(encoded(".jpg"))
    detector = Detector(small_network().eval(), ("a", "b"), 0.6, 0.45)
    start = None
    for number in range(tries):
        detector(path)
        if number == tries // 10:
            start = resident()
    grown = resident() - start
    failures = (f"{grown / 2**20:.0f} MiB more",) if grown > GROWTH else ()
    return Row("images in one process without growth", tries, failures)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def read_any_image(path: Path) -> None:
    read_image(path, 3, ignore_remark)


def read_labels(path: Path) -> None:
    read_rows(path, CLASSES)


IMAGES = [encoded(".jpg"), encoded(".png")]
ROWS: dict[str, tuple[Callable[[Path, int, int], Row], int]] = {
    "kills": (kills, 20),
    "ranks": (ranks, 3),
    "two_runs": (two_runs, 3),
    "cfgs": (cfgs, 20_000),
    "weights": (weights, 2_000),
    "xml": (mutated_files("mutated VOC XML", [xml()], ".xml", read_annotation_parts), 2_000),
    "coco": (mutated_files("mutated COCO JSON", [coco()], ".json", read_coco), 2_000),
    "labels": (mutated_files("mutated label files", [labels()], ".txt", read_labels), 2_000),
    "images": (
        mutated_files("mutated JPEG and PNG", [encoded(".jpg"), encoded(".png")], ".jpg", read_any_image),
        2_000,
    ),
    "disks": (disks, 500),
    "growth": (growth, 2_000),
}

if __name__ == "__main__":
    main()
