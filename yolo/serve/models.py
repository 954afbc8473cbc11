"""The networks of a service by their names: Darknet's files or exported ones, each as a detector."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from yolo.deploy.exported import open_detector
from yolo.detect.detector import Detector
from yolo.engines.choose import FastestMaps
from yolo.errors import CfgError
from yolo.letterbox import letterboxed
from yolo.quantize.engine_option import NetworkOptions, open_darknet_detector

OF_THE_FILE = "as exported"  # the precision of an exported file


@dataclass(frozen=True)
class ModelFiles:
    """The files of a network of a service.

    name: in requests. exported: a file of `yolo-darknet export`, or None for a cfg with weights. names: of the classes;
    None looks for them.
    """

    name: str
    exported: Path | None = None
    cfg: Path | None = None
    weights: Path | None = None
    names: Path | None = None


@dataclass(frozen=True)
class ServedModel:
    """A network of a service. engine and precision: as `/models` lists them."""

    name: str
    detector: Detector
    engine: str
    precision: str

    def description(self) -> dict:
        """Return its entry in the answer of `/models`."""
        size = self.detector.network.input
        engine = self.detector.engine
        chosen = sorted(set(engine.chosen.values())) if isinstance(engine, FastestMaps) else []
        return {
            "name": self.name,
            "classes": list(self.detector.names),
            "width": size.width,
            "height": size.height,
            "letterbox": self.detector.placement is letterboxed,
            "engine": f"{self.engine}: {', '.join(chosen)}" if chosen else self.engine,
            "precision": self.precision,
            "thresh": self.detector.score_thresh,
            "nms": self.detector.nms_thresh,
            "diou_exponent": self.detector.diou_exponent,
        }


def open_models(
    files: Sequence[ModelFiles], options: NetworkOptions, score_thresh: float, nms_thresh: float
) -> list[ServedModel]:
    """Read the networks of a service.

    Args:
        files: of each network; the first one is the default of requests.
        options: see NetworkOptions.
        score_thresh, nms_thresh: of requests that give none.

    Raises:
        CfgError, WeightsError, DatasetError, MissingPackageError, OSError: as reading these files does.
        CfgError: two networks have the same name.
    """
    names = [each.name for each in files]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise CfgError(f"found two models of the name {twice}, expected --model NAME=... with another name")
    return [_open_model(each, options, (score_thresh, nms_thresh)) for each in files]


def _open_model(files: ModelFiles, options: NetworkOptions, thresholds: tuple[float, float]) -> ServedModel:
    if files.exported is not None:
        detector = open_detector(files.exported, files.names, *thresholds, options.letterbox)
        return ServedModel(files.name, detector, files.exported.suffix[1:], OF_THE_FILE)
    detector, _ = open_darknet_detector(files.cfg, files.weights, files.names, options, thresholds)
    return ServedModel(files.name, detector, options.engine, options.precision)
