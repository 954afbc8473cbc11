"""The rows of soak.py with disks that cannot be written: full, without inodes, read-only.

Every command that writes runs on a small file system of its own in memory, which mount(8) makes; without the right to
mount, the row reports it, and a limit on the size of files replaces the full disk. A command survives if it ends with
exit code 2 and one line that names the place, leaves old files as they were, leaves nothing half-written, and does its
work when there is room.
"""

import errno
import importlib
import itertools
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from soak_files import CFG, Row, small_network
from soak_runs import data_set

from yolo.console.run import run
from yolo.files.writing import write_text
from yolo.model.weights import save_weights

PAGE = 4096  # bytes; tmpfs counts in pages
ROOM = "size=64m,nr_inodes=4096"
PATIENCE = 240  # seconds for a command
BUSY_SECONDS = 20
TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")  # what yolo.files.writing writes to before it renames
HIDDEN = re.compile(r"/\.[^/]+\.[a-z0-9_]{8}(/|:)")  # a place that the user has not named
GROWING = ("tfevents", ".jsonl", ".csv")  # files that grow by whole rows; what is there of them is right
UNLIKE = ("tfevents", "runs")  # in names that differ from run to run
ONCE = ("score --convert-to",)
KINDS = ("full", "inodes", "read-only", "full, old files there", "read-only, old files there")
CLASSIFIER = """[net]
width=32
height=32
channels=3
[convolutional]
filters=2
size=3
stride=2
pad=1
activation=leaky
[avgpool]
[softmax]
"""


@dataclass(frozen=True)
class Write:
    """A command that writes below OUT. again: options with which it may replace what it wrote.

    once: it refuses to write where files are. cache: an environment variable that names OUT; the command needs nothing
    of it and ends with exit code 0.
    """

    name: str
    arguments: tuple[str, ...]
    again: tuple[str, ...] = ()
    once: bool = False
    cache: str = ""


def writes(inputs: Path) -> list[Write]:
    """Return every kind of write. OUT is replaced by a folder on the small disk, INPUTS by `inputs`."""
    model = "--cfg INPUTS/soak.cfg --weights INPUTS/soak.weights"
    named = f"{model} --names INPUTS/soak.names"
    detect = f"detect {named} --thresh 0.2 INPUTS/images/0.png INPUTS/images/1.png"
    data = "--data INPUTS/soak.data"
    result = "INPUTS/result.json"
    train = f"train --cfg INPUTS/soak.cfg {data} --workers 0 --amp off --max-batches 6 --map-every 3 --out OUT/run"
    rows = {
        "detect --out": f"{detect} --out OUT/pictures",
        "detect --json": f"{detect} --json OUT/a.json",
        "detect --jsonl": f"{detect} --jsonl OUT/a.jsonl",
        "detect --csv": f"{detect} --csv OUT/a.csv",
        "detect --crops": f"{detect} --crops OUT/crops",
        "detect --save-labels voc": f"{detect} --save-labels voc --out OUT/labels",
        "detect --save-labels coco": f"{detect} --save-labels coco --out OUT/labels",
        "detect --save-video": f"detect {named} INPUTS/film.avi --max-frames 4 --save-video --out OUT/film",
        "detect --shard": f"detect {named} INPUTS/list.txt --shard 1/1 --out OUT/parts",
        "detect --parts parquet": f"detect {named} INPUTS/list.txt --shard 1/1 --parts parquet --out OUT/parts",
        "classify --json": "classify --cfg INPUTS/classifier.cfg --weights INPUTS/classifier.weights --names "
        "INPUTS/soak.names INPUTS/images/0.png --json OUT/a.json",
        "explain --report": f"explain {named} INPUTS/images/0.png --report OUT/page",
        "explain --json": f"explain {named} INPUTS/images/0.png --report OUT/page --json OUT/a.json",
        "evaluate --report": f"evaluate {model} {data} --workers 0 --report OUT/page --explain a",
        "evaluate --json": f"evaluate {model} {data} --workers 0 --json OUT/a.json",
        "evaluate --save-results": f"evaluate {model} {data} --workers 0 --save-results OUT/results",
        "top_losses --report": f"top_losses {model} {data} --workers 0 --report OUT/page",
        "data --report": f"data {data} --cfg INPUTS/soak.cfg --report OUT/page",
        "score --json": f"score --truth INPUTS/soak.data --detections {result} --json OUT/a.json",
        "score --explain": f"score --truth INPUTS/soak.data --detections {result} --explain a --report OUT/page",
        "score --convert-to": f"score --truth INPUTS/soak.data --detections {result} --convert-to comp4 --out OUT/c",
        "score_voc --plot": "score_voc INPUTS/results --annotations INPUTS/shapes/Annotations --imageset "
        "INPUTS/shapes/ImageSets/Main/val.txt --plot OUT/a.png",
        "compare --report": "compare INPUTS/page INPUTS/page --report OUT/page",
        "export .onnx": f"export {named} --out OUT/a.onnx",
        "export .xml": f"export {named} --out OUT/a.xml",
        "export .torchscript": f"export {named} --out OUT/a.torchscript",
        "convert_weights": "convert_weights --cfg INPUTS/soak.cfg INPUTS/soak.weights OUT/a.safetensors",
        "make_cfg": f"make_cfg --base INPUTS/soak.cfg {data} --out OUT/a.cfg",
        "support_table": "support_table --out OUT/a.md",
        "show_augment": f"show_augment --cfg INPUTS/soak.cfg {data} --out OUT/a.png",
        "find_lr": f"find_lr --cfg INPUTS/soak.cfg {data} --workers 0 --steps 4 --out OUT/rate",
        "benchmark": "benchmark --cfg INPUTS/soak.cfg --batch 1 --engine torch --precision float32 --rounds 3 "
        "--json OUT/a.json --chart OUT/a.png",
        "make_shapes": "make_shapes --train 3 --valid 2 --out OUT/shapes",
        "convert_voc": "convert_voc --train OUT/shapes:train --valid OUT/shapes:val --out OUT/voc",
        "convert_coco": "convert_coco --train OUT/coco/a.json:OUT/coco --out OUT/coco/lists",
        "split": "split INPUTS/images --names INPUTS/soak.names --split 0.3 --out OUT/lists",
        "new": "new OUT/shapes --out OUT/new",
        "train": f"{train} --watch INPUTS/images/0.png --histograms 2",
    }  # fmt: skip
    again = {name: ("--overwrite",) for name in ("make_cfg", "convert_voc", "convert_coco", "split", "train")}
    caches = {
        "cache of engines": (f"{detect} --engine onnxruntime", "YOLO_DARKNET_CACHE"),
        "cache of checked labels": (f"evaluate {model} {data} --workers 0", "XDG_CACHE_HOME"),
    }
    found = [Write(name, _split(text, inputs), again.get(name, ()), name in ONCE) for name, text in rows.items()]
    return found + [Write(name, _split(text, inputs), cache=cache) for name, (text, cache) in caches.items()]


def _split(text: str, inputs: Path) -> tuple[str, ...]:
    return tuple(text.replace("INPUTS", str(inputs)).split())


def make_inputs(folder: Path) -> None:
    """Write what the commands read: images, labels, cfgs, weights, a film, results and a report."""
    import cv2

    data, cfg = data_set(folder)
    cfg.write_text(CFG.format(steps=6))
    save_weights(small_network(), folder / "soak.weights")
    (folder / "classifier.cfg").write_text(CLASSIFIER)
    film = cv2.VideoWriter(str(folder / "film.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 64))
    for number in range(6):
        film.write(cv2.imread(str(folder / "images" / f"{number}.png")))
    film.release()
    (folder / "coco").mkdir()
    shutil.copy(folder / "images" / "0.png", folder / "coco" / "a.png")
    (folder / "coco" / "a.json").write_text(
        '{"images":[{"id":1,"file_name":"a.png","width":64,"height":64}],"categories":[{"id":1,"name":"a"}],'
        '"annotations":[{"id":1,"image_id":1,"category_id":1,"bbox":[4,4,9,9],"area":81,"iscrowd":0}]}'
    )
    model = ("--cfg", cfg, "--weights", folder / "soak.weights")
    images = sorted((folder / "images").iterdir())
    for command in (
        ("make_shapes", "--train", 3, "--valid", 2, "--out", folder / "shapes"),
        ("evaluate", *model, "--data", data, "--workers", 0, "--report", folder / "page"),
        ("detect", *model, "--names", folder / "soak.names", "--json", folder / "result.json", *images),
    ):
        code, err = call(tuple(map(str, command)), folder, {})
        if code:
            raise RuntimeError(f"{command}: {err}")
    from yolo.cfg import parse_cfg
    from yolo.model.network import build

    save_weights(build(parse_cfg(CLASSIFIER, "classifier.cfg"))[0], folder / "classifier.weights")
    (folder / "results").mkdir()
    stem = (folder / "shapes/ImageSets/Main/val.txt").read_text().split()[0]
    for name in ("circle", "cross", "square", "triangle"):
        (folder / "results" / f"comp4_det_test_{name}.txt").write_text(f"{stem} 0.9 2 2 30 30\n")


def call(arguments: tuple[str, ...], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a command in a child of this process, which has already imported torch; return exit code and stderr."""
    err = folder / f"stderr{os.getpid()}"
    child = os.fork()
    if child == 0:
        _become(arguments, folder, err, environment)
    end = time.monotonic() + PATIENCE
    while (found := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -1, f"over {PATIENCE} s"
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(found[1]), err.read_text(errors="replace")


def _become(arguments: tuple[str, ...], folder: Path, err: Path, environment: dict[str, str]) -> None:
    """Run a command as this process, and end it."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        os.environ.update({"XDG_CACHE_HOME": str(folder / "cache"), **environment})
        os.chdir(folder)
        sys.argv = [f"yolo-darknet {arguments[0]}", *arguments[1:]]
        try:
            run(importlib.import_module(f"yolo.commands.{arguments[0]}").main)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "soak", str(place)], check=True, capture_output=True)


def remount(place: Path, options: str) -> None:
    patiently("mount", "-o", f"remount,{options}", str(place))


def patiently(*command: str) -> None:
    """Run a command until it succeeds: a thread of a process that has ended can keep a file open for a moment."""
    end = time.monotonic() + BUSY_SECONDS
    while subprocess.run(command, capture_output=True, check=time.monotonic() > end).returncode:
        time.sleep(0.1)


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """Mount a file system in memory at `place` with room for everything."""
    place.mkdir()
    mount(place, ROOM)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def may_mount(folder: Path) -> bool:
    """Whether this process may mount a file system."""
    try:
        with small_disk(folder / "tried"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@dataclass(frozen=True)
class Usual:
    """What a command writes where there is room: files by their relative paths, pages and inodes."""

    files: dict[str, bytes]
    pages: int
    inodes: int


def contents(place: Path) -> dict[str, bytes]:
    return {str(each.relative_to(place)): each.read_bytes() for each in sorted(place.rglob("*")) if each.is_file()}


def used(place: Path) -> tuple[int, int]:
    state = os.statvfs(place)
    return state.f_blocks - state.f_bfree, state.f_files - state.f_ffree


def prepare(place: Path, inputs: Path) -> None:
    """Put on the disk what commands read from there: those that write beside their inputs."""
    for name in ("shapes", "coco"):
        shutil.copytree(inputs / name, place / name)


def attack(write: Write, inputs: Path, folder: Path, seed: int, kind: str, number: int) -> list[str]:
    """Run a command on a disk of a kind; return what is wrong with its end."""
    draw, work = random.Random(f"{seed} {write.name} {kind} {number}"), folder / f"{kind}-{number}"
    work.mkdir(parents=True)
    place = work / "disk"
    with small_disk(place):
        if write.name in ("convert_voc", "convert_coco", "new"):
            prepare(place, inputs)
        before = used(place)
        arguments = tuple(each.replace("OUT", str(place)) for each in write.arguments)
        environment = {write.cache: str(place)} if write.cache else {}
        code, err = call(arguments, work, environment)
        if code:
            return [f"with room: exit code {code}: {err[-300:]}"]
        usual = Usual(contents(place), *used(place))
        again = write.again
        if not kind.endswith("old files there"):
            patiently("umount", str(place))
            mount(place, ROOM)
            if write.name in ("convert_voc", "convert_coco", "new"):
                prepare(place, inputs)
            again = ()
        old = contents(place)
        remount(place, _limit(kind, draw, before, usual, used(place)))
        code, err = call((*arguments, *again), work, environment)
        limited = contents(place)
        faults = _ended_well(write, place, code, err) + _left_well(place, old, limited, usual)
        remount(place, f"rw,{ROOM}")
        code, err = call((*arguments, *write.again), work, environment)
        if code:
            faults.append(f"with room again: exit code {code}: {err[-300:]}")
        elif missing := _unstamped(usual.files) - _unstamped(contents(place)):
            faults.append(f"with room again, but without {sorted(missing)[:4]}")
    shutil.rmtree(work)
    return [f"{write.name}, {kind} {number}: {each}" for each in faults]


def _limit(kind: str, draw: random.Random, before: tuple[int, int], usual: Usual, now: tuple[int, int]) -> str:
    """Return options of a mount under which the command cannot write all; `now`: pages and inodes in use."""
    if kind.startswith("read-only"):
        return "ro"
    if kind == "inodes":
        return f"nr_inodes={now[1] + draw.randrange(max(usual.inodes - before[1], 1))}"
    return f"size={PAGE * (now[0] + draw.randrange(max(usual.pages - before[0], 1)) or 1)}"


def _ended_well(write: Write, place: Path, code: int, err: str) -> list[str]:
    lines = [line for line in err.replace("\r", "\n").splitlines() if line.strip()]
    if write.cache:
        return [] if code == 0 and "Traceback" not in err else [f"exit code {code}: {err[-400:]}"]
    if code == 0:
        return []  # it had room: a page less is no file less
    errors = [line for line in lines if line.startswith("error: ")]
    named = errors and str(place) in errors[0] and not HIDDEN.search(errors[0])
    if code != 2 or len(errors) != 1 or lines[-1] != errors[0] or "Traceback" in err or not named:
        return [f"exit code {code}: {err[-400:]}"]
    return []


def _left_well(place: Path, old: dict[str, bytes], found: dict[str, bytes], usual: Usual) -> list[str]:
    """Return what is wrong with the files on a disk after a failure."""
    faults = []
    for name, content in found.items():
        whole = usual.files.get(name)
        if TEMPORARY.fullmatch(Path(name).name):
            faults.append(f"left {name}")
        elif any(each in name for each in GROWING) or content == old.get(name):
            continue
        elif whole is not None and len(content) < len(whole) and whole.startswith(content):
            faults.append(f"half-written: {name}, {len(content)} of {len(whole)} bytes")
    return faults


def _unstamped(files: dict[str, bytes]) -> set[str]:
    return {name for name in files if not any(each in name for each in UNLIKE)}


def disks(folder: Path, tries: int, seed: int, workers: int) -> Row:
    """Run every command that writes on disks of every kind, `tries` times each."""
    name = "every kind of write on a disk that is full, without inodes or read-only"
    if not may_mount(folder):
        return Row(name, 0, (), "not tried: this user may not mount")
    inputs = folder / "inputs"
    inputs.mkdir()
    make_inputs(inputs)
    found: list[str] = []
    count = 0
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), torch.set_num_threads, (1,)) as pool:
        waiting = []
        for number, (write, kind) in itertools.product(range(tries), itertools.product(writes(inputs), KINDS)):
            if kind.startswith("read-only") and number or write.once and "old files" in kind:
                continue  # nothing is drawn, or nothing may be there
            place = folder / re.sub(r"\W+", "-", write.name)
            waiting.append(pool.submit(attack, write, inputs, place, seed, kind, number))
        for each in waiting:
            found += each.result()[:1]
            count += 1
    return Row(name, count, tuple(found), f"{len(writes(inputs))} commands")


@contextmanager
def full_beyond(size: int) -> Iterator[None]:
    """Let the system refuse to write beyond `size` bytes of a file, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full_at(folder: Path, tries: int, seed: int, _workers: int) -> Row:
    """A full disk at a random byte of a file: the old file stays, nothing else is left, the file is named."""
    network = small_network()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    kinds = {
        "a.weights": partial(save_weights, network),
        "a.safetensors": partial(save_weights, network),
        "a.txt": lambda path: write_text(path, "x" * 9000),
    }
    faults = []
    for number in range(tries):
        draw = random.Random(f"{seed} full {number}")
        name = draw.choice(sorted(kinds))
        path = folder / name
        path.write_bytes(b"old")
        found = None
        try:
            with full_beyond(draw.randint(0, 1000)):
                kinds[name](path)
        except OSError as error:
            found = error
        if found is None or found.errno not in (errno.EFBIG, errno.ENOSPC) or str(found.filename) != str(path):
            faults.append(f"{name}: {found!r}")
        elif path.read_bytes() != b"old" or [each.name for each in folder.iterdir()] != [name]:
            faults.append(f"{name}: {os.listdir(folder)}")
        path.unlink()
    return Row("a file that is refused at a random byte", tries, tuple(faults))
