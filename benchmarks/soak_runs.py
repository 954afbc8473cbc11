"""The rows of soak.py that start trainings and kill them, start two in one folder, or watch a process grow."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from soak_files import CFG, CLASSES, PROJECT, Row, encoded, small_network

from yolo.cfg import parse_cfg
from yolo.model.network import build
from yolo.train.checkpoint import load_checkpoint
from yolo.train.optimizer import make_optimizer

PATIENCE = 1800  # seconds for a process to get somewhere, also on a busy machine
KILLED_STEPS = 400
MOST_KILLS = 3  # of a run before it may end
GROWTH = 64 * 2**20  # bytes that 2,000 images may add to the process
SIDE = 64


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
    lists = f"train={folder}/list.txt\nvalid={folder}/list.txt\n"
    data.write_text(f"classes={CLASSES}\n{lists}names={folder}/soak.names\nbackup={folder}/backup\n")
    cfg = folder / "soak.cfg"
    cfg.write_text(CFG.format(steps=KILLED_STEPS))
    return data, cfg


def training(data: Path, cfg: Path, out: Path, *more: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen:
    command = [
        sys.executable, *launcher, "-m", "yolo", "train", "--cfg", cfg, "--data", data, "--out", out,
        "--workers", "1", "--device", "cpu", "--amp", "off", "--memory-format", "channels_last", *more,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*map(str, command)], env=environment, start_new_session=True, **pipes)


def state(cfg: Path, path: Path) -> tuple[int, list[torch.Tensor]]:
    """Return the step of a checkpoint, and every tensor that changes the rest of a run."""
    network = build(parse_cfg(cfg.read_text(), str(cfg)))[0]
    optimizer = make_optimizer(network, network.training_settings)
    step = load_checkpoint(path, network, optimizer).step
    momentum = [each["momentum_buffer"] for each in optimizer.state_dict()["state"].values()]
    return step, [*network.state_dict().values(), *momentum]


def end_group(process: subprocess.Popen) -> str:
    """Kill the process group of a training, and return what it wrote to stderr."""
    os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[1]


def kills(folder: Path, tries: int, seed: int, workers: int) -> Row:
    """Kill the whole process group at random moments, resume, and compare the end with that of an unbroken run.

    The moments are random in the time of an unbroken run beside as many others: in imports, in the check of the data,
    between steps and in saves.
    """
    name = "kill -9 at random moments, resumed bit-equal"
    data, cfg = data_set(folder)
    cfg.write_text(CFG.format(steps=KILLED_STEPS))
    start = time.monotonic()
    whole = [training(data, cfg, folder / f"whole{number}") for number in range(workers)]
    errors = [each.communicate(timeout=PATIENCE)[1] for each in whole]
    if any(each.returncode for each in whole):
        return Row(name, tries, (str(errors)[-300:],) * tries)
    seconds = time.monotonic() - start
    expected = state(cfg, folder / "whole0/soak_last.pt")[1]
    one = partial(_killed_run, folder, data, cfg, expected, seed, seconds)
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(one, range(tries)))
    failures = tuple(f"run {number}: {fault}" for number, (_, fault) in enumerate(found) if fault)
    return Row(name, tries, failures, f"{sum(count for count, _ in found)} kills")


def _killed_run(
    folder: Path, data: Path, cfg: Path, expected: list[torch.Tensor], seed: int, seconds: float, number: int
) -> tuple[int, str]:
    """Kill a run one to MOST_KILLS times, let it end, and return the kills and what is wrong, "" if nothing is."""
    draw, out, killed = random.Random(f"{seed} kill {number}"), folder / f"run{number}", 0
    last = out / "soak_last.pt"
    for _ in range(draw.randint(1, MOST_KILLS)):
        if _ended(cfg, last):
            break
        process = training(data, cfg, out, *_begin(last))
        try:
            process.communicate(timeout=draw.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            end_group(process)
            killed += 1
    if not _ended(cfg, last):
        process = training(data, cfg, out, *_begin(last))
        _, err = process.communicate(timeout=PATIENCE)
        if process.returncode:
            return killed, f"exit code {process.returncode}: {err[-300:]}"
    step, found = state(cfg, last)
    left = [each.name for each in out.iterdir() if each.name.startswith(".soak")]
    if step != KILLED_STEPS or not all(map(torch.equal, found, expected)):
        return killed, f"step {step}, other weights than without a break"
    return killed, f"left {left}" if left else ""


def _ended(cfg: Path, last: Path) -> bool:
    return last.exists() and state(cfg, last)[0] >= KILLED_STEPS


def _begin(last: Path) -> tuple[str, ...]:
    return ("--resume", str(last)) if last.exists() else ("--overwrite",)


def ranks(folder: Path, tries: int, seed: int, _workers: int) -> Row:
    """Two ranks, one killed at a random moment after the first save: the other saves, says so in one line, and ends."""
    data, cfg = data_set(folder)
    cfg.write_text(CFG.format(steps=10**6))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    failures = []
    for number in range(tries):
        out = folder / f"run{number}"
        process = training(data, cfg, out, launcher=launcher)
        wait_for(out / "soak_last.pt", process)
        draw = random.Random(f"{seed} rank {number}")
        time.sleep(draw.uniform(0, 3))
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if len(children) == 2:
            os.kill(int(draw.choice(children)), signal.SIGKILL)
        try:
            _, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            failures.append(f"run {number}: did not end: {end_group(process)[-200:]}")
            continue
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        if len(children) != 2 or len(lines) != 1 or "another process of this run was lost" not in err:
            failures.append(f"run {number}: {len(children)} ranks, lines {lines}: {err[-200:]}")
        elif state(cfg, out / "soak_last.pt")[0] < 1:
            failures.append(f"run {number}: no step was saved")
    return Row("two ranks, one killed: one line, steps saved", tries, tuple(failures))


def wait_for(path: Path, process: subprocess.Popen) -> None:
    """Wait until a process has written a file, has ended, or PATIENCE is over."""
    end = time.monotonic() + PATIENCE
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.1)


def two_runs(folder: Path, tries: int, _seed: int, _workers: int) -> Row:
    data, cfg = data_set(folder)
    cfg.write_text(CFG.format(steps=10**6))
    failures = []
    for number in range(tries):
        out = folder / f"run{number}"
        first = training(data, cfg, out)
        wait_for(out / ".train.lock", first)
        second = training(data, cfg, out, "--overwrite")
        _, err = second.communicate(timeout=PATIENCE)
        going_on = first.poll() is None
        end_group(first)
        if second.returncode != 2 or "another process at work" not in err or not going_on:
            failures.append(f"run {number}: exit code {second.returncode}, first goes on {going_on}: {err[-200:]}")
    return Row("two trainings into one folder: the second stops", tries, tuple(failures))


def growth(folder: Path, tries: int, _seed: int, _workers: int) -> Row:
    """Detect in many images in one process, and measure what it has grown by after the first tenth."""
    from yolo.detect.detector import Detector

    paths = [folder / f"a{ending}" for ending in (".jpg", ".png")]
    for path in paths:
        path.write_bytes(encoded(path.suffix))
    detector = Detector(small_network().eval(), ("a", "b"), 0.6, 0.45)
    start = None
    for number in range(tries):
        detector(paths[number % len(paths)])
        if number == tries // 10:
            start = resident()
    grown = resident() - start
    failures = (f"{grown / 2**20:.0f} MiB more",) if grown > GROWTH else ()
    return Row("images in one process without growth", tries, failures, f"{grown / 2**20:.1f} MiB more")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
