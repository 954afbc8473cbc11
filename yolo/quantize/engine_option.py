"""Open a network as a `Detector`, with the engine that --engine, --precision and --calibrate choose."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.defaults import INT8
from yolo.detect.detector import Detector
from yolo.errors import CfgError
from yolo.model.network import Network
from yolo.model.weights import load_weights
from yolo.named_files import find_names, model_names

if TYPE_CHECKING:
    from yolo.engines.shapes import Engine


@dataclass(frozen=True)
class NetworkOptions:
    """How networks are computed, by the options of `yolo-darknet detect`. Exported files use only letterbox."""

    engine: str
    precision: str
    device: str
    dialect: str
    letterbox: bool
    calibrate: Path | None = None
    overrides: tuple[tuple[str, str], ...] = ()


def open_darknet_detector(
    cfg: Path, weights: Path, names: Path | None, options: NetworkOptions, thresholds: tuple[float, float]
) -> tuple[Detector, Path]:
    """Read a detector from Darknet's files.

    Args:
        cfg, weights: the files of the network.
        names: the .names file; None: it is looked for (`find_names`).
        options: how the network is computed.
        thresholds: of scores and of NMS.

    Returns:
        The detector, and its .names file.

    Raises:
        CfgError, WeightsError, DatasetError, MissingPackageError, OSError: as reading these files does; the cfg is that
            of a classifier.
    """
    network = Network.from_cfg(cfg, overrides=dict(options.overrides), dialect=options.dialect)
    if not network.heads:
        raise CfgError(f"{cfg}: found a classifier, expected a detection head; use yolo-darknet classify")
    load_weights(network, weights)
    source = names or find_names(cfg, weights, network.classes)
    classes = model_names(source, network.classes, cfg)
    letterbox = options.letterbox or network.letterboxed
    engine = chosen_engine(network, options.engine, options.precision, options.calibrate, letterbox)
    placed, computed = network.to(options.device), {"engine": engine, "precision": options.precision}
    return Detector(placed, classes, *thresholds, letterbox=letterbox, **computed), source


def chosen_engine(
    network: Network, engine: str, precision: str, calibrate: Path | None, letterbox: bool
) -> "str | Engine":
    """Return the engine for a `Detector`: its name, or for int8 the engine itself, which is calibrated first.

    Args:
        network: A detector. It is not changed.
        engine: The name of an engine.
        precision: One of yolo.defaults.PRECISIONS.
        calibrate: Of int8, the list or folder of images to calibrate with.
        letterbox: Whether images keep their aspect ratio.

    Raises:
        As `calibrated_engine`.
    """
    if precision != INT8:
        return engine
    from yolo.quantize.int8_engine import calibrated_engine  # its imports are needed only for int8

    return calibrated_engine(network, engine, calibrate, letterbox)
