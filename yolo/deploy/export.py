"""Export a network as a file for another program: write it, run it, compare it with torch, then give it its name."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from yolo.deploy.check import check_batches, largest_difference, nms_difference
from yolo.deploy.file_kinds import ENDINGS, ONNX, OPENVINO, check_name, open_file, write_file
from yolo.deploy.layouts import NMS, OPENCV, ArrangedNetwork, Layout, choose_layout
from yolo.deploy.metadata import describe
from yolo.deploy.opencv4 import adapt_to_opencv4
from yolo.engines.fold import folded
from yolo.errors import ExportError
from yolo.files.folders import folder_beside
from yolo.model.network import Network

DYNAMIC_BATCH_TRACED = 2  # not 1, so that no rule for 1 is recorded
# Largest difference / largest value. float32: rounding in another order. fp16: a value has 11 bits, and the errors of
# some hundred layers add up; what counts there is the loss of AP.
LIMITS = {"float32": 1e-4, "fp16": 5e-2}
DTYPES = {"float32": torch.float32, "fp16": torch.float16}


@dataclass(frozen=True)
class ExportOptions:
    """How to export. layout: of LAYOUTS. precision: of LIMITS. batch: the batch size, None for any.

    letterbox: whether images keep their aspect ratio; only a text in the file. score_thresh, nms_thresh: of the
    layout `nms`.
    """

    layout: str
    precision: str
    batch: int | None
    opset: int
    letterbox: bool
    score_thresh: float
    nms_thresh: float


@dataclass(frozen=True)
class ExportResult:
    """The written file. difference: the largest one from torch, relative to the largest value; limit: of it.

    shapes: of the outputs, for the first check. images: how many were compared.
    """

    layout: Layout
    shapes: tuple[tuple[int, ...], ...]
    difference: float
    limit: float
    images: int
    bytes: int


def export_network(
    network: Network,
    names: Sequence[str],
    out: Path,
    options: ExportOptions,
    sources: Mapping[str, str],
    limit: float | None = None,
) -> ExportResult:
    """Write the file `out`, unless what it computes differs from the network.

    Args:
        network: Any; it is not changed.
        names: Of its classes.
        out: The file; its ending is one of ENDINGS.
        options: See ExportOptions.
        sources: More metadata, see `describe_files`.
        limit: Of the difference from torch, of the largest value; None: that of LIMITS.

    Raises:
        CfgError: The layout does not fit this network.
        ExportError: The file differs, or these options do not go together. An older file keeps its content.
        MissingPackageError: A package is not installed.
        OSError: The file cannot be written.
    """
    _check_options(out, options)
    network = folded(network).cpu()
    layout = choose_layout(
        options.layout,
        network,
        one_image=options.batch == 1,
        score_thresh=options.score_thresh,
        nms_thresh=options.nms_thresh,
    )
    metadata = {
        **describe(network, layout.name, names, options.batch, options.letterbox),
        "precision": options.precision,
        **sources,
    }
    with folder_beside(out) as folder:
        path = folder / out.name
        _write(network, layout, path, options, metadata)
        result = _checked(network, layout, path, out, options, limit or LIMITS[options.precision])
        move_file(path, out)
    return result


def _check_options(out: Path, options: ExportOptions) -> None:
    check_name(out, ExportError)
    if out.suffix not in ENDINGS:
        raise ExportError(f"{out}: found the ending {out.suffix!r}, expected one of {', '.join(ENDINGS)}")
    if options.layout == NMS and out.suffix != ONNX:
        raise ExportError(f"{out}: found layout nms and the ending {out.suffix}, expected {ONNX}")
    if options.precision not in LIMITS:
        expected = f"expected one of {', '.join(LIMITS)}"
        raise ExportError(f"{out}: found precision {options.precision}, {expected}: this version writes no other")


def _write(network: Network, layout: Layout, path: Path, options: ExportOptions, metadata: Mapping[str, str]) -> None:
    half = options.precision == "fp16"
    # OpenVINO itself rounds the weights; the others get a network that computes in float16
    dtype = torch.float32 if path.suffix == OPENVINO else DTYPES[options.precision]
    computed = folded(network) if dtype != torch.float32 else network
    batch = DYNAMIC_BATCH_TRACED if options.batch is None else options.batch
    write_file(
        ArrangedNetwork(computed, layout.arrange, dtype).eval(),
        torch.full((batch, network.input.channels, network.input.height, network.input.width), 0.5),
        path,
        output_names=layout.output_names,
        opset=options.opset,
        dynamic_batch=options.batch is None,
        metadata=metadata,
        half=half,
    )
    if layout.name == OPENCV and path.suffix == ONNX and options.batch is not None:
        adapt_to_opencv4(path)


def _checked(
    network: Network, layout: Layout, path: Path, out: Path, options: ExportOptions, limit: float
) -> ExportResult:
    """Run the file on images and compare. Raises ExportError if it differs by more than the limit."""
    opened = open_file(path)
    worst, count, shapes = 0.0, 0, ()
    for images in check_batches(network, options.batch):
        found = opened.run(images)
        shapes = shapes or tuple(tuple(each.shape) for each in found)
        difference = _difference(network, layout, path, options, images, found)
        worst, count = max(worst, difference), count + len(images)
    if not worst <= limit:
        raise ExportError(
            f"{out}: found a file that differs from torch by {worst:.1e} of the largest value, expected at most "
            f"{limit:.0e}; it was not kept"
        )
    return ExportResult(layout, shapes, worst, limit, count, total_bytes(path))


def _difference(
    network: Network, layout: Layout, path: Path, options: ExportOptions, images: torch.Tensor, found: list
) -> float:
    if layout.name == NMS:
        return nms_difference(path, network, images, found[0], options.score_thresh, options.nms_thresh)
    return largest_difference(layout, network, images, found)


def _files(path: Path) -> list[Path]:
    """Return the file with its companion, OpenVINO's weights, which comes first."""
    return [path.with_suffix(".bin"), path] if path.suffix == OPENVINO else [path]


def total_bytes(path: Path) -> int:
    """Return the bytes of an exported file and its companion."""
    return sum(each.stat().st_size for each in _files(path))


def move_file(path: Path, out: Path) -> None:
    """Give an exported file and its companion their names, and replace older files."""
    for written, final in zip(_files(path), _files(out), strict=True):
        os.replace(written, final)
