"""The loss of AP, and the gain of bytes and time, of int8 and fp16 on two real networks.

Calibrated on every third of the 96 COCO images of ../shared/datasets/coco96, scored on the other 64 by this project's
scorer. The network of 20 VOC classes is scored on the objects of its classes, found by name; other objects are left
out. Times are medians of interleaved rounds of raw maps, each with its ratio to float32 in the same runtime.

example:
  OMP_NUM_THREADS=1 python benchmarks/quantize.py --model yolo-fastest-1.1
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from terminaltables import AsciiTable
from torch import Tensor

from yolo.data.labeled_images import LabeledImage
from yolo.deploy.export import ExportOptions, export_network, total_bytes
from yolo.deploy.file_kinds import open_file
from yolo.engines.choose import interleaved_seconds
from yolo.engines.open_vino import openvino_core
from yolo.errors import ExportError
from yolo.letterbox import stretched
from yolo.model.network import Network
from yolo.model.weights import load_weights
from yolo.names_file import read_names
from yolo.quantize.calibration import read_calibration
from yolo.quantize.report import errors_table, versions_table
from yolo.quantize.scored_export import DropLimit, ScoredExport, export_scored
from yolo.quantize.scoring import read_scored, score_of

SHARED = Path(__file__).resolve().parents[2] / "shared"
MODELS = ("yolo-fastest-1.1", "MobileNetV2-YOLOv3-Nano-voc")
COCO_NAMES = SHARED / "models" / "yolo-fastest-1.1" / "coco.names"
MAX_DROP = 0.005
BATCHES = (1, 8)
ROUNDS, SECONDS = 30, 8.0


def write_lists(folder: Path, names: list[str]) -> tuple[Path, Path]:
    """Write images and labels of the given classes to a folder; return the lists to calibrate with and to score."""
    coco = read_names(COCO_NAMES)
    numbers = {str(coco.index(name)): names.index(name) for name in names if name in coco}
    lists = {"calibrate.txt": [], "score.txt": []}
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    for index, image in enumerate(sorted((SHARED / "datasets" / "coco96" / "images").glob("*.jpg"))):
        link = folder / "images" / image.name
        link.symlink_to(image)
        labels = image.parents[1] / "labels" / f"{image.stem}.txt"
        rows = [line.split(maxsplit=1) for line in labels.read_text().splitlines()] if labels.exists() else []
        text = "".join(f"{numbers[label]} {box}\n" for label, box in rows if label in numbers)
        (folder / "labels" / labels.name).write_text(text)
        lists["score.txt" if index % 3 else "calibrate.txt"].append(f"{link}\n")
    for name, lines in lists.items():
        (folder / name).write_text("".join(lines))
    return folder / "calibrate.txt", folder / "score.txt"


def openvino_run(path: Path, images: Tensor, hint: str) -> Callable[[], object]:
    """Return a callable that runs a file in OpenVINO on a batch."""
    core = openvino_core()
    model = core.read_model(path)
    model.reshape(list(images.shape))
    options = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(model, "CPU", options).create_infer_request()
    return lambda: request.infer([images.numpy()])


def milliseconds(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median milliseconds of each call."""
    for call in calls.values():
        call()
    return {
        name: 1000 * statistics.median(each) for name, each in interleaved_seconds(calls, 5, ROUNDS, SECONDS).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, nargs="+", default=MODELS)
    for name in parser.parse_args().model:
        with tempfile.TemporaryDirectory() as folder:
            measure(SHARED / "models" / name, Path(folder))


def measure(model: Path, folder: Path) -> None:
    """Print the tables of one network."""
    network = Network.from_cfg(model / f"{model.name}.cfg")
    load_weights(network, model / f"{model.name}.weights")
    (names_file,) = model.glob("*.names")
    names = read_names(names_file)
    calibrate, listed = write_lists(folder, names)
    size = network.input.height, network.input.width
    calibration = read_calibration(calibrate, 3, size, stretched)
    images = read_scored(listed, network)
    options = ExportOptions("raw", "float32", 1, 13, letterbox=False, score_thresh=0.25, nms_thresh=0.45)
    print(f"## {model.name}, {size[1]}x{size[0]}, {torch.get_num_threads()} thread(s)", flush=True)
    files = {}
    for label, precision, ending in (
        ("float32", "float32", ".onnx"),
        ("fp16", "fp16", ".onnx"),
        ("int8 ONNX", "int8", ".onnx"),
        ("int8 IR", "int8", ".xml"),
    ):
        out, start = folder / f"{label.replace(' ', '-')}{ending}", time.perf_counter()
        if precision == "int8":
            exported = export_int8(network, names, out, replace(options, precision=precision), calibration, images)
            print(f"{label}, made in {time.perf_counter() - start:.0f} s")
            print(errors_table(exported.errors, exported.versions[-1].float_layers))
            print(versions_table(exported.versions), flush=True)
        else:
            export_network(network, names, out, replace(options, precision=precision), {})
        files[label] = out
    scores = {label: score_of(network, names, False, open_file(path).run, images) for label, path in files.items()}
    batches = {batch: torch.rand(batch, 3, *size) for batch in BATCHES}
    times = {}
    for batch, inputs in batches.items():
        paths = {label: path for label, path in files.items() if label != "fp16"}
        calls = {label: openvino_run(path, inputs, "f32") for label, path in paths.items()}
        calls["bf16"] = openvino_run(files["float32"], inputs, "bf16")
        times[batch] = milliseconds(calls)
    rows = [["", "AP", "loss", "AP50", "bytes", *(f"OpenVINO, batch {batch}, ms an image" for batch in BATCHES)]]
    for label in ("float32", "fp16", "int8 ONNX", "int8 IR"):
        score = scores[label]
        loss = scores["float32"].ap - score.ap
        row = [label, f"{score.ap:.4f}", f"{loss:+.4f}", f"{score.ap50:.4f}", f"{total_bytes(files[label]):,}"]
        rows.append([*row, *(_time(times[batch], label, batch) for batch in BATCHES)])
    rows.append(
        ["float32 file, computed in bf16", *[""] * 4, *(_time(times[batch], "bf16", batch) for batch in BATCHES)]
    )
    print(AsciiTable(rows).table, flush=True)


def export_int8(
    network: Network,
    names: list[str],
    out: Path,
    options: ExportOptions,
    calibration: Sequence[Tensor],
    images: Sequence[LabeledImage],
) -> ScoredExport:
    """Export as the command does; if it refuses the file, print why and export with all layers in int8."""

    def export(max_drop: float) -> ScoredExport:
        return export_scored(
            network, names, out, options, {},
            calibration=calibration, limit=DropLimit(images, max_drop), report=lambda _line: None,
        )  # fmt: skip

    try:
        return export(MAX_DROP)
    except ExportError as error:
        print(f"refused: {error}. With all layers in int8:")
        return export(1.0)


def _time(times: dict[str, float], label: str, batch: int) -> str:
    if label not in times:
        return ""
    return f"{times[label] / batch:.2f} ({times['float32'] / times[label]:.2f}x)"


if __name__ == "__main__":
    main()
