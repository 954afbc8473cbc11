"""Inference and training on a GPU: images a second, and the fraction of the GPU's peak.

Prints a table row by row, and writes it to --out after each row as markdown, so that a run that is cut short leaves
what it measured. A configuration that fails (out of memory, a compiler's error) is a row with the reason.

What is measured:
  network    the forward pass alone, from images on the GPU in the network's dtype to raw maps on the GPU.
             "float32" is the plain network, "graph" the folded 16-bit copy in a CUDA graph (yolo/engines/cuda.py),
             "compiled" the same with torch.compile.
  boxes      yolo.Detector.detect: from float32 images on the GPU to Detections on the CPU, with decode, threshold, NMS.
  training   steps of the trainer, from pinned uint8 images in memory: forward, Darknet's loss, backward, SGD, log.

FLOPs are those of `yolo-darknet summary`, for the input size; a training step counts three times the forward pass. The
measured peak is that of a large matrix product in the same dtype in the same run, the nominal one NVIDIA's number for
dense products without sparsity.

example, on a GPU, in less than eight minutes:
  python benchmarks/gpu.py --out out/gpu.md
example, that all of it runs, on any machine:
  python benchmarks/gpu.py --device cpu --quick
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.autograd import DeviceType

from yolo.console.run import run
from yolo.data.dataset import Batch
from yolo.detect.detector import Detector
from yolo.engines.cuda import CudaGraphs, FoldedForward
from yolo.letterbox import stretched
from yolo.model.network import Network
from yolo.model.summary import layer_table
from yolo.records import Targets
from yolo.train.setup.options import Machine, Options, Output
from yolo.train.setup.run import start
from yolo.train.trainer import Run, train

CFGS = Path(__file__).resolve().parent.parent / "cfg"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Dense 16-bit TFLOP/s of NVIDIA's data sheets, by a part of the device's name; the first that fits
NOMINAL = (
    ("H100 PCIe", 756.0), ("H100 NVL", 835.0), ("GH200", 989.4), ("H100", 989.4), ("H200", 989.4), ("B200", 2250.0),
    ("A100", 312.0), ("A10G", 70.0), ("A10", 125.0), ("L40S", 362.0), ("L4", 121.0), ("4090", 165.2), ("V100", 125.0),
)  # fmt: skip
TRAINING_PASSES = 3  # forward, and backward with respect to maps and to weights
BOXES_AN_IMAGE = 7  # COCO train2017: 860,001 boxes in 117,266 images
PRODUCT = 8192  # rows and columns of the matrix product that measures the peak
ROUNDS = 5  # the median of so many is reported
ROUND_SECONDS = 0.25
WARM_UP_STEPS = 6  # of training
PROFILED = 3  # calls or steps
SHOWN_KERNELS = 14
PROFILE_SECONDS = 45  # kept for the profiles
CANDIDATES_AN_IMAGE = 100  # class scores above the threshold, as with a trained network on photos
# Seconds that a case may take; one that may not fit into what is left is left out.
EXPECTED_SECONDS = {"plain": 10, "graph": 10, "compiled": 45, "steps": 25, "steps, compiled": 90}
HEADER = ("what", "cfg", "size", "batch", "dtype", "how", "ms", "images/s", "TFLOP/s", "of measured peak",
          "of nominal peak", "GiB", "start s", "note")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A row that is to be measured. how: "plain", "graph" or "compiled"; "steps" in training."""

    what: str
    cfg: str
    size: int
    batch: int
    dtype: str
    how: str


PROFILED_CASES = (
    Case("network", "yolov3", 416, 64, "fp16", "compiled"),
    Case("training", "yolov3", 416, 64, "bf16", "steps"),
)
TINY_PROFILED = (
    Case("network", "yolov3-tiny", 64, 2, "bf16", "graph"),
    Case("training", "yolov3-tiny", 64, 2, "fp32", "steps"),
)


@dataclass(frozen=True)
class Measured:
    """ms: median of a batch or step; start: seconds before the first result, compilation included."""

    milliseconds: float
    start: float


class Table:
    """Rows that are printed and written as they come."""

    def __init__(self, path: Path | None, title: str, peaks: dict[str, float], nominal: float | None) -> None:
        self.path, self.title, self.peaks, self.nominal = path, title, peaks, nominal
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        self.lines = ["| " + " | ".join(HEADER) + " |", "|" + "---|" * len(HEADER)]
        print(title, *self.lines, sep="\n", flush=True)
        self._write()

    def add(self, case: Case, flops: float, measured: Measured | None, memory: float, note: str = "") -> None:
        """Add a row; measured is None where it failed, as `note` says."""
        cells = [case.what, case.cfg, str(case.size), str(case.batch), case.dtype, case.how]
        if measured is None:
            cells += [""] * 7
        else:
            seconds = measured.milliseconds / 1000
            rate = flops * case.batch / seconds / 1e12
            peak = self.peaks.get(case.dtype)
            cells += [
                f"{measured.milliseconds:.2f}", f"{case.batch / seconds:,.0f}", f"{rate:.1f}",
                f"{rate / peak:.1%}" if peak else "-",
                f"{rate / self.nominal:.1%}" if self.nominal and case.dtype != "fp32" else "-",
                f"{memory:.2f}", f"{measured.start:.1f}",
            ]  # fmt: skip
        self.lines.append("| " + " | ".join([*cells, note]) + " |")
        print(self.lines[-1], flush=True)
        self._write()

    def say(self, line: str) -> None:
        """Add a line below the table."""
        self.lines.append(line)
        print(line, flush=True)
        self._write()

    def _write(self) -> None:
        if self.path:
            self.path.write_text("\n".join([self.title, "", *self.lines, ""]))


def main() -> None:
    args = _arguments()
    begin = time.monotonic()
    device = torch.device(args.device)
    torch.set_float32_matmul_precision("high")
    peaks = {dtype: peak_tflops(device, dtype, 512 if args.quick else PRODUCT) for dtype in ("bf16", "fp16")}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    nominal = next((number for part, number in NOMINAL if part in name), None)
    title = (
        f"{name}, torch {torch.__version__}; peak of a {512 if args.quick else PRODUCT}³ matrix product: "
        + ", ".join(f"{dtype} {peak:.3g} TFLOP/s" for dtype, peak in peaks.items())
        + (f"; nominal {nominal:g}" if nominal else "")
    )
    table = Table(args.out, title, peaks, nominal)
    skipped = 0
    for case in _cases(args.quick, args.only, args.how):
        left = args.minutes * 60 - (time.monotonic() - begin) - (PROFILE_SECONDS if args.profile else 0)
        if left < EXPECTED_SECONDS[case.how]:
            skipped += 1
            table.add(case, 0, None, 0, f"left out: {left:.0f} s of {args.minutes:g} minutes were left")
            continue
        measure(case, device, table, args.quick)
    for case in (TINY_PROFILED if args.quick else PROFILED_CASES) if args.profile else ():
        try:
            table.say("\n".join(profile_lines(device, case)))
        except Exception as error:  # as in `measure`
            table.say(f"\nno profile of {case}: {failure(error)}")
    table.say(f"\n{time.monotonic() - begin:.0f} s in all" + (f", {skipped} cases left out" if skipped else ""))


def _cases(quick: bool, only: Sequence[str], hows: Sequence[str]) -> Iterator[Case]:
    """Yield the cases, those that the aims are about first."""
    for case in _tiny_cases() if quick else _all_cases():
        if (not only or case.what in only) and (not hows or case.how in hows):
            yield case


def _tiny_cases() -> Iterator[Case]:
    for how in ("plain", "graph", "compiled"):
        yield Case("network", "yolov3-tiny", 64, 1, "bf16" if how != "plain" else "fp32", how)
    yield Case("boxes", "yolov3-tiny", 64, 2, "bf16", "graph")
    yield Case("training", "yolov3-tiny", 64, 2, "bf16", "steps")


def _all_cases() -> Iterator[Case]:
    yield Case("network", "yolov3", 416, 64, "fp32", "plain")
    for dtype in ("fp16", "bf16"):
        yield Case("network", "yolov3", 416, 64, dtype, "graph")
        yield Case("network", "yolov3", 416, 64, dtype, "compiled")
    yield Case("training", "yolov3", 416, 64, "bf16", "steps")
    yield Case("boxes", "yolov3", 416, 64, "fp16", "graph")
    yield Case("boxes", "yolov3", 416, 64, "fp32", "plain")
    yield Case("training", "yolov3", 416, 64, "bf16", "steps, compiled")
    done = {("yolov3", 416, 64)}
    matrix = [(cfg, size, batch) for cfg in ("yolov3", "yolov4") for size in (416, 608) for batch in (64, 8, 1)]
    matrix = [each for each in matrix if each not in done]
    for each in matrix:
        for dtype in ("fp16", "bf16"):
            yield Case("network", *each, dtype, "graph")
    yield Case("training", "yolov4", 416, 64, "bf16", "steps")
    yield Case("training", "yolov3", 608, 64, "bf16", "steps")
    yield Case("training", "yolov4", 608, 64, "bf16", "steps")
    for batch in (64, 1):
        for cfg, size in (("yolov4", 416), ("yolov3", 608), ("yolov4", 608)):
            yield Case("network", cfg, size, batch, "fp16", "compiled")
    yield Case("network", "yolov3", 416, 1, "fp16", "compiled")
    for batch in (8, 1):
        yield Case("boxes", "yolov3", 416, batch, "fp16", "graph")
    yield Case("training", "yolov4", 416, 64, "bf16", "steps, compiled")


def measure(case: Case, device: torch.device, table: Table, quick: bool) -> None:
    """Measure a case and add its row."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    torch._dynamo.reset()
    measured, note, flops = None, "", 0.0
    try:
        network = Network.from_cfg(CFGS / f"{case.cfg}.cfg", size=(case.size, case.size))
        flops = layer_table(network)[1] * 1e9
        if case.what == "training":
            flops *= TRAINING_PASSES
            measured = training_steps(case, device, 2 if quick else 24)
        elif case.what == "boxes":
            measured = boxes(case, network.to(device), quick)
        else:
            measured = network_alone(case, network.to(device), quick)
    except Exception as error:  # of torch.compile, of the memory …: no error ends the run
        note = failure(error)
    memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
    table.add(case, flops, measured, memory, note)


def failure(error: Exception) -> str:
    """Return the first line of an error, for a cell of a table."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"failed: {type(error).__name__}: {first[:160]}".replace("|", "/")


def forward_of(case: Case, network: Network) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """Return the forward pass of a case."""
    if case.how == "plain":
        network.eval().to(memory_format=torch.channels_last)
        return network
    forward = FoldedForward(network, DTYPES[case.dtype], compiled=case.how != "graph")
    on_gpu = next(network.parameters()).device.type == "cuda"
    return CudaGraphs(forward) if on_gpu else forward


def images_of(case: Case, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    shape = case.batch, 3, case.size, case.size
    return torch.rand(shape, device=device).to(dtype, memory_format=torch.channels_last)


@torch.no_grad()
def network_alone(case: Case, network: Network, quick: bool) -> Measured:
    device = next(network.parameters()).device
    forward = forward_of(case, network)
    images = images_of(case, device, DTYPES[case.dtype])
    return timed(lambda: forward(images), device, quick)


def boxes(case: Case, network: Network, quick: bool) -> Measured:
    """Images on the GPU → detections on the CPU."""
    device = next(network.parameters()).device
    names = [str(number) for number in range(network.classes)]
    engine = "compile" if case.how == "compiled" else "torch"
    precision = "float32" if case.dtype == "fp32" else case.dtype
    images = images_of(case, device, torch.float32)
    threshold = threshold_of_candidates(network.eval(), images[:1])
    detector = Detector(network, names, threshold, engine=engine, precision=precision)
    placements = [stretched((480, 640), (case.size, case.size))] * case.batch
    return timed(lambda: detector.detect(images, placements), device, quick)


@torch.no_grad()
def threshold_of_candidates(network: Network, image: torch.Tensor) -> float:
    """Return the score that CANDIDATES_AN_IMAGE class scores of an image reach: random weights give no real scores."""
    predictions = network.decode(network(image))
    scores = predictions.objectness[..., None] * predictions.class_probs
    return scores.flatten().topk(CANDIDATES_AN_IMAGE).values[-1].item()


def training_steps(case: Case, device: torch.device, steps: int) -> Measured:
    """Measure steps of the trainer. The mean counts, because the loop continues before a step ends on the GPU."""
    warm_up = min(WARM_UP_STEPS, steps)
    begin = time.perf_counter()
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        training = ready_training(case, device, Path(folder), warm_up + steps)
        note = training.logger.step

        def step(*arguments: object) -> None:
            note(*arguments)
            ends.append(time.perf_counter())

        training.logger.step = step
        train(training)
        training.logger.close()
    return Measured(1000 * (ends[-1] - ends[warm_up - 1]) / steps, ends[0] - begin)


def ready_training(case: Case, device: torch.device, folder: Path, steps: int) -> Run:
    """Return a run of so many steps on one batch that is in memory, without validation."""
    options = Options(
        cfg=CFGS / f"{case.cfg}.cfg",
        data=written_data(folder),
        overrides=tuple(
            (key, str(value))
            for key, value in (
                ("batch", case.batch), ("subdivisions", 1), ("max_batches", steps),
                ("width", case.size), ("height", case.size),
            )
        ),
        machine=Machine(device=str(device), workers=0, amp=case.dtype != "fp32", compiled="compiled" in case.how,
                        ignore_memory=True),
        output=Output(folder / "out"),
    )  # fmt: skip
    training = start(options)
    # 10**9: no file is written between the first and the last step
    return replace(training, batches=[ready_batch(case, device)] * steps, validation=None, save_every=10**9)


def written_data(folder: Path) -> Path:
    """Write a data set of one image, which is never read after the check, and return its .data file."""
    cv2.imwrite(str(folder / "one.png"), np.zeros((64, 64, 3), np.uint8))
    (folder / "one.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (folder / "list.txt").write_text(f"{folder / 'one.png'}\n")
    names = CFGS.parent / "data" / "coco.names"
    data = folder / "one.data"
    data.write_text(f"classes = 80\ntrain = {folder / 'list.txt'}\nnames = {names}\nbackup = {folder}\n")
    return data


def ready_batch(case: Case, device: torch.device) -> Batch:
    """Return random images and boxes, the images with channels last, as the loader gives them, and pinned."""
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (case.batch, case.size, case.size, 3), np.uint8)).permute(0, 3, 1, 2)
    count = BOXES_AN_IMAGE * case.batch
    sizes = rng.uniform(0.02, 0.5, (count, 2))
    centers = sizes / 2 + rng.random((count, 2)) * (1 - sizes)
    targets = Targets(
        torch.arange(count) // BOXES_AN_IMAGE,
        torch.from_numpy(rng.integers(0, 80, count)),
        torch.from_numpy(np.concatenate((centers, sizes), axis=1).astype(np.float32)),
    )
    if device.type == "cuda":
        pixels, targets = pixels.pin_memory(), Targets(*(each.pin_memory() for each in targets))
    return Batch(pixels, targets)


def timed(call: Callable[[], object], device: torch.device, quick: bool) -> Measured:
    """Return the median time of `call` over ROUNDS rounds, each long enough for the clock."""
    begin = time.perf_counter()
    call()
    _wait(device)
    started = time.perf_counter() - begin
    once = _seconds(call, device, 1 if quick else 3)
    count = 1 if quick else max(1, math.ceil(ROUND_SECONDS / once))
    rounds = [_seconds(call, device, count) for _ in range(ROUNDS)]
    return Measured(1000 * statistics.median(rounds), started)


def _seconds(call: Callable[[], object], device: torch.device, count: int) -> float:
    """Return the seconds of one of `count` calls in a row."""
    _wait(device)
    begin = time.perf_counter()
    for _ in range(count):
        call()
    _wait(device)
    return (time.perf_counter() - begin) / count


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_tflops(device: torch.device, dtype: str, size: int) -> float:
    """Return the TFLOP/s of a matrix product of random numbers: the best of several rounds."""
    a, b = (torch.randn(size, size, device=device).to(DTYPES[dtype]) for _ in range(2))
    out = torch.empty_like(a)
    for _ in range(3):
        torch.mm(a, b, out=out)
    best = min(_seconds(lambda: torch.mm(a, b, out=out), device, 10) for _ in range(ROUNDS))
    return 2 * size**3 / best / 1e12


def profile_lines(device: torch.device, case: Case) -> list[str]:
    """Return a table of the GPU's kernels that a case spends most time in."""
    from torch.profiler import ProfilerActivity, profile

    with tempfile.TemporaryDirectory() as folder:
        if case.what == "training":
            training = ready_training(case, device, Path(folder), WARM_UP_STEPS + PROFILED)
            batches = [training.batches[0]] * PROFILED
            warm = replace(training, last_step=WARM_UP_STEPS)
            train(warm)
            training = replace(training, progress=warm.progress, batches=batches)

            def call() -> None:
                train(training)
        else:
            network = Network.from_cfg(CFGS / f"{case.cfg}.cfg", size=(case.size, case.size)).to(device)
            forward = FoldedForward(network, DTYPES[case.dtype], compiled=case.how == "compiled")
            images = images_of(case, device, DTYPES[case.dtype])
            forward(images)

            def call() -> None:
                for _ in range(PROFILED):
                    forward(images)

        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
            call()
            _wait(device)
    kind = DeviceType.CUDA if device.type == "cuda" else DeviceType.CPU
    self_time = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    events = [(getattr(event, self_time), event) for event in found.key_averages() if event.device_type == kind]
    total = sum(microseconds for microseconds, _ in events)
    lines = [
        "", f"kernels of {case.what} {case.cfg} {case.size}, batch {case.batch}, {case.dtype}, {case.how}: "
        f"{total / 1000 / PROFILED:.2f} ms of kernels each", "", "| part | ms | calls | kernel |", "|---|---|---|---|",
    ]  # fmt: skip
    for microseconds, event in sorted(events, key=lambda each: -each[0])[:SHOWN_KERNELS]:
        milliseconds, name = microseconds / 1000 / PROFILED, event.key[:100].replace("|", "/")
        lines.append(f"| {microseconds / total:.1%} | {milliseconds:.3f} | {event.count // PROFILED} | {name} |")
    return lines


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--device", default="cuda", metavar="D", help="default cuda")
    add("--out", type=Path, metavar="FILE", help="write the table here, as markdown, after every row")
    add("--minutes", type=float, default=6.5, metavar="N", help="what does not fit is left out; default 6.5")
    add("--only", nargs="+", choices=("network", "boxes", "training"), default=(), metavar="WHAT")
    add("--how", nargs="+", default=(), metavar="HOW", help="such as graph or compiled")
    add("--profile", action="store_true", help="also list the kernels that take most time")
    add("--quick", action="store_true", help="a few tiny cases: does everything run?")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
