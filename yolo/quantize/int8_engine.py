"""The int8 engine: a network, calibrated on images, computed by ONNX Runtime or OpenVINO. Its file is cached."""

import hashlib
import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from yolo.defaults import AUTO, INT8_ENGINES
from yolo.deploy.export import ExportOptions, move_file
from yolo.deploy.file_kinds import ONNX, OPENVINO, open_file
from yolo.deploy.layouts import RAW
from yolo.engines.cache import network_key, open_kept
from yolo.engines.fold import folded
from yolo.engines.shapes import Engine
from yolo.errors import CfgError, counted
from yolo.extras import import_extra
from yolo.files.folders import folder_beside
from yolo.letterbox import letterboxed, stretched
from yolo.model.network import Network
from yolo.quantize.calibration import read_calibration
from yolo.quantize.equalization import equalized
from yolo.quantize.scored_export import Int8Plan, write_int8
from yolo.quantize.simulation import activation_ranges

log = logging.getLogger(__name__)
FILE_VERSION = 1  # increase it when the same network and images give another file
ENDINGS = dict(zip(INT8_ENGINES, (ONNX, OPENVINO), strict=True))
OPSET = 13  # the first with a scale per channel


def int8_engine(network: Network, engine: str, images: Sequence[Tensor]) -> Engine:
    """Return a callable that computes the raw maps of a network in int8, for images of the network's input size.

    The file is made once for the same network and images (seconds to minutes, a line is logged before), and then read
    from the cache folder of the engines. Nothing is scored: `yolo-darknet export --precision int8 --data` does that.

    Args:
        network: A detector. It is not changed.
        engine: "onnxruntime" or "openvino".
        images: To calibrate with, each `[1, C, H, W]` of the network's input size, see `read_calibration`.

    Raises:
        CfgError: Another engine, or a classifier.
        ExportError: The engine computes other values than the network, in float32.
        MissingPackageError: A package is not installed.
        OSError: The file cannot be written.
    """
    if engine not in ENDINGS:
        raise CfgError(f"found precision int8 with engine {engine}, expected {' or '.join(ENDINGS)}")
    if not network.heads:
        raise CfgError("found a classifier, expected a detector for precision int8")
    import_extra(*(("nncf", "openvino") if engine == "openvino" else ("onnxruntime", "export")), "--precision int8")
    network = folded(network).cpu()
    key = f"{network_key(network)}-int8-{_digest(images)}-v{FILE_VERSION}{ENDINGS[engine]}"
    return open_kept(key, lambda path: _write(network, engine, images, path), open_file).run


def calibrated_engine(network: Network, engine: str, listed: Path, letterbox: bool) -> Engine:
    """Return `int8_engine` calibrated on a list or folder of images.

    Args:
        network: A detector. It is not changed.
        engine: "onnxruntime", "openvino" or AUTO: OpenVINO, which is faster in int8, where it and NNCF are installed.
        listed: The list or folder, see `read_calibration`.
        letterbox: Whether the images keep their aspect ratio.

    Raises:
        DatasetError: There is no image, or one cannot be read.
        CfgError, ExportError, MissingPackageError, OSError: As `int8_engine`.
    """
    if engine == AUTO:
        engine = "openvino" if find_spec("openvino") and find_spec("nncf") else "onnxruntime"
    size = network.input.height, network.input.width
    images = read_calibration(listed, network.input.channels, size, letterboxed if letterbox else stretched)
    return int8_engine(network, engine, images)


def _write(network: Network, engine: str, images: Sequence[Tensor], path: Path) -> None:
    """Write the raw maps' file with all convolutions in int8, complete or not at all."""
    log.info("calibrating int8 for %s on %s ...", engine, counted(len(images), "image"))
    network = equalized(network, images)
    plan = Int8Plan(images, activation_ranges(network, images), ())
    options = ExportOptions(
        layout=RAW, precision="float32", batch=None, opset=OPSET, letterbox=False, score_thresh=0.0, nms_thresh=1.0
    )  # fmt: skip
    names = [str(index) for index in range(network.classes)]
    with folder_beside(path) as folder:
        written = folder / path.name
        write_int8(network, names, written, options, {}, plan)
        move_file(written, path)


def _digest(images: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(image.contiguous().numpy().data)
    return digest.hexdigest()[:16]
