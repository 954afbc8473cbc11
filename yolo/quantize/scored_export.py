"""Export in fp16 or int8, scored before and after. A file that loses too much AP is not kept.

int8 begins with all convolutions. While it loses too much, the layers that lose most by themselves go back to
float32: 1, 2, 4 and so on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from yolo.data.labeled_images import LabeledImage
from yolo.defaults import INT8
from yolo.deploy.export import ExportOptions, ExportResult, export_network, move_file, total_bytes
from yolo.deploy.file_kinds import ONNX, OPENVINO, open_file
from yolo.deploy.layouts import NMS, RAW
from yolo.engines.fold import folded
from yolo.errors import CfgError, ExportError, counted
from yolo.extras import import_extra
from yolo.files.folders import folder_beside
from yolo.model.network import Network
from yolo.quantize.calibration import batches_of
from yolo.quantize.equalization import equalized
from yolo.quantize.open_vino_ir import write_int8_ir
from yolo.quantize.qdq import write_qdq
from yolo.quantize.scoring import Score, score_of
from yolo.quantize.sensitivity import LayerError, layer_errors
from yolo.quantize.simulation import Range, activation_ranges, with_corrected_biases
from yolo.quantize.timing import milliseconds_of
from yolo.settings import InputSettings

SENSITIVITY_IMAGES = 4  # of the calibration images; the order of the first layers is that of 32
OLDEST_OPSET = 13  # of DequantizeLinear with a scale per channel
LIMIT = 5e-2  # of the difference between the file and the scored one, of the largest value: steps of int8 add up
SOURCE_LIMIT = 1e-2  # of the float32 file that becomes int8; rounding it to int8 changes far more
CHECKED = 2  # images that the two files are compared on
BIAS_IMAGES = 32
SIGNED_LAYOUT = "tensorrt"  # which has no uint8


@dataclass(frozen=True)
class DropLimit:
    """The images for scoring, with labels. max_drop: how much AP the file may lose, 0..1."""

    images: Sequence[LabeledImage]
    max_drop: float


@dataclass(frozen=True)
class Version:
    """One version of the network.

    precision: "float32", "fp16" or "int8". float_layers: of int8, the layers in float32, the most sensitive first.
    score: None if nothing is scored. bytes: of the raw maps' file. milliseconds: of one image, by runtime; all versions
    of an export are measured in turn.
    """

    precision: str
    float_layers: tuple[int, ...]
    score: Score | None
    bytes: int
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class ScoredExport:
    """The result of an export. versions: float32, then all that were tried; the last one is in the file.

    errors: of int8, of the layers when each alone is quantized, the largest first.
    """

    result: ExportResult
    versions: tuple[Version, ...]
    errors: tuple[LayerError, ...]


@dataclass(frozen=True)
class Int8Plan:
    """How a network becomes int8. images: to calibrate with, each `[1, C, H, W]`. ranges: of `activation_ranges`.

    float_layers: numbers of the layers in float32, the most sensitive first.
    """

    images: Sequence[Tensor]
    ranges: Mapping[str, Range]
    float_layers: tuple[int, ...]


def check_scored_options(network: Network, out: Path, options: ExportOptions) -> None:
    """Raise CfgError, ExportError or MissingPackageError before a long export that would fail."""
    if not network.heads:
        raise CfgError("found a classifier, expected a detector: int8 and --data are for networks that find boxes")
    if options.precision == INT8 and out.suffix not in (ONNX, OPENVINO):
        raise ExportError(f"{out}: found precision int8 and the ending {out.suffix!r}, expected {ONNX} or {OPENVINO}")
    if options.precision == INT8 and options.opset < OLDEST_OPSET:
        found = f"found opset {options.opset}"
        raise ExportError(
            f"{out}: {found}, expected {OLDEST_OPSET} or newer for int8: weights have a scale per channel"
        )
    import_extra("onnxruntime", "export", "measuring an exported file")
    if out.suffix == OPENVINO and options.precision == INT8:
        import_extra("nncf", "openvino", "--precision int8 for OpenVINO's IR")


def export_scored(
    network: Network,
    names: Sequence[str],
    out: Path,
    options: ExportOptions,
    sources: Mapping[str, str],
    *,
    calibration: Sequence[Tensor],
    limit: DropLimit | None,
    report: Callable[[str], None],
) -> ScoredExport:
    """Write the file `out` in fp16 or int8, unless it loses too much AP.

    Args:
        network, names, out, options, sources: As of `export_network`.
        calibration: Of int8: images, each `[1, C, H, W]`.
        limit: Decides whether the file is kept; None: it is kept.
        report: Gets a line before each step that takes long.

    Raises:
        CfgError, ExportError, MissingPackageError, OSError: As `export_network`; or the file loses too much AP. An
            older file keeps its content.
    """
    network = folded(network).cpu()
    check_scored_options(network, out, options)
    with folder_beside(out) as folder:
        raw = replace(options, layout=RAW, batch=1, precision="float32")
        before = folder / f"float32{out.suffix}"
        export_network(network, names, before, raw, sources)
        version = _versions_maker(network, names, options.letterbox, limit, report)
        report("float32")
        paths, versions = [before], [version(before, "float32", ())]
        if options.precision != INT8:
            after = folder / f"{options.precision}{out.suffix}"
            export_network(network, names, after, replace(raw, precision=options.precision), sources)
            versions.append(version(after, options.precision, ()))
            _refuse_loss(out, versions, limit)
            result = export_network(network, names, out, options, sources)
            return ScoredExport(result, _timed(versions, [before, after], network.input), ())
        report(f"ranges of activations, on {counted(len(calibration), 'image')}")
        network = equalized(network, calibration)
        ranges = activation_ranges(network, calibration)
        report(f"sensitivity of each layer, on {counted(min(SENSITIVITY_IMAGES, len(calibration)), 'image')}")
        errors = layer_errors(network, calibration[:SENSITIVITY_IMAGES], ranges)
        for count in _counts(len(errors) if limit else 0):
            plan = Int8Plan(calibration, ranges, tuple(each.layer for each in errors[:count]))
            path = folder / f"int8-{count}{out.suffix}"
            report(f"int8 with {count} of {len(errors)} layers in float32")
            write_int8(network, names, path, raw, sources, plan)
            paths.append(path)
            versions.append(version(path, INT8, plan.float_layers))
            if not _loses(versions, limit):
                break
        _refuse_loss(out, versions, limit)
        result = _write_arranged(network, names, out, options, sources, folder, path, plan)
        return ScoredExport(result, _timed(versions, paths, network.input), tuple(errors))


def write_int8(
    network: Network,
    names: Sequence[str],
    path: Path,
    options: ExportOptions,
    sources: Mapping[str, str],
    plan: Int8Plan,
) -> ExportResult:
    """Write an int8 file, and beside it the float32 file from which it is made.

    Args:
        network: with batch norm folded and channels equalized.
        names: the classes.
        path: the int8 file.
        options: of the export; the precision is ignored.
        sources: names and digests of cfg and weights, for the metadata.
        plan: images, ranges of activations, and the layers that stay in float32.

    Returns:
        The result of the float32 file.

    Raises:
        ExportError, OSError: as of `export_network`.
    """
    source = path.with_name(f"{path.stem}-source{ONNX}")
    options = replace(options, precision="float32")
    if path.suffix == OPENVINO:
        result = export_network(network, names, source, options, sources, SOURCE_LIMIT)
        batches = batches_of(plan.images, options.batch or 1)
        write_int8_ir(source, path, batches, plan.float_layers, _metadata(source, plan))
        return result
    corrected = with_corrected_biases(network, plan.images[:BIAS_IMAGES], plan.ranges, plan.float_layers)
    result = export_network(corrected, names, source, options, sources, SOURCE_LIMIT)
    signed = options.layout == SIGNED_LAYOUT
    write_qdq(source, path, plan.ranges, plan.float_layers, _metadata(source, plan), signed)
    return result


def _metadata(source: Path, plan: Int8Plan) -> dict[str, str]:
    floats = ",".join(map(str, sorted(plan.float_layers)))
    return {**open_file(source).metadata, "precision": INT8, "float32_layers": floats}


def _counts(most: int) -> list[int]:
    """Return 0, 1, 2, 4 and so on, below `most`: with all layers in float32 no int8 file is needed."""
    return [0, *(2**power for power in range(most.bit_length()) if 2**power < most)]


def _versions_maker(
    network: Network,
    names: Sequence[str],
    letterbox: bool,
    limit: DropLimit | None,
    report: Callable[[str], None],
) -> Callable[[Path, str, tuple[int, ...]], Version]:
    """Return a function that scores a file of raw maps. It measures no time."""

    def make(path: Path, precision: str, layers: tuple[int, ...]) -> Version:
        score = None
        if limit is not None:
            score = score_of(network, names, letterbox, open_file(path).run, limit.images)
            report(f"  AP {score.ap:.4f}")
        return Version(precision, layers, score, total_bytes(path), {})

    return make


def _timed(versions: Sequence[Version], paths: Sequence[Path], size: InputSettings) -> tuple[Version, ...]:
    """Return versions with the time that the file of each takes for one image, if a runtime is known for its kind."""
    image = torch.rand(1, size.channels, size.height, size.width)
    times = milliseconds_of(paths, image) if paths[0].suffix in (ONNX, OPENVINO) else {}
    return tuple(
        replace(version, milliseconds={runtime: each[index] for runtime, each in times.items()})
        for index, version in enumerate(versions)
    )


def _loses(versions: Sequence[Version], limit: DropLimit | None) -> bool:
    """Whether the last version loses more than it may."""
    if limit is None:
        return False
    return versions[0].score.ap - versions[-1].score.ap > limit.max_drop


def _refuse_loss(out: Path, versions: Sequence[Version], limit: DropLimit | None) -> None:
    if _loses(versions, limit):
        last = versions[-1]
        found = f"found AP {last.score.ap:.4f} in {last.precision}, {versions[0].score.ap:.4f} in float32"
        raise ExportError(
            f"{out}: {found}, expected a loss of at most {limit.max_drop:g} (--max-drop); it was not kept"
        )


def _write_arranged(
    network: Network,
    names: Sequence[str],
    out: Path,
    options: ExportOptions,
    sources: Mapping[str, str],
    folder: Path,
    scored: Path,
    plan: Int8Plan,
) -> ExportResult:
    """Write `out` in the layout and batch size of the options, with the same int8 layers as the scored file."""
    written = folder / f"arranged{out.suffix}"
    result = write_int8(network, names, written, options, sources, plan)
    difference = _difference(network, result, scored, written, batches_of(plan.images[:CHECKED], options.batch or 1))
    if not difference <= LIMIT:
        found = f"found a file that differs from the scored one by {difference:.1e} of the largest value"
        raise ExportError(f"{out}: {found}, expected at most {LIMIT:.0e}; it was not kept")
    size = total_bytes(written)
    move_file(written, out)
    return replace(result, difference=difference, limit=LIMIT, images=min(CHECKED, len(plan.images)), bytes=size)


@torch.inference_mode()
def _difference(
    network: Network, result: ExportResult, scored: Path, written: Path, batches: Sequence[Tensor]
) -> float:
    """Return the largest difference between the written file and the scored file's raw maps, arranged by torch."""
    run_scored, run_written = open_file(scored).run, open_file(written).run
    worst = 0.0
    for images in batches:
        found = run_written(images)
        if result.layout.name == NMS:  # a box near the threshold may be kept or not
            continue
        maps = [torch.cat(each) for each in zip(*(run_scored(image[None]) for image in images), strict=True)]
        for one, other in zip(found, result.layout.arrange(network, maps), strict=True):
            if one.shape != other.shape:
                return float("inf")
            worst = max(worst, float((one - other).abs().max() / other.abs().max().clamp(min=1e-30)))
    return worst
