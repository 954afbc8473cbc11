"""Darknet models, alive in PyTorch: any .cfg as a torch module, .weights in and out, Darknet's own training arithmetic.

Dimension letters in all docstrings: B images, A anchors of a head, C channels, H rows, W columns, P predictions of an
image, N detections, M ground-truth boxes, K pairs of a cell and a ground-truth box. Sizes are (height, width); points
and box sizes are (x, y), (w, h).
"""

from importlib import import_module

__version__ = "0.1.0"

# Public name → its module. A module is imported at the first use of its name: importing torch takes seconds, and
# converting a data set or scoring result files does not need it.
_HOMES = {
    "CfgError": "yolo.errors",
    "DatasetError": "yolo.errors",
    "DivergedError": "yolo.errors",
    "WeightsError": "yolo.errors",
    "Network": "yolo.model.network",
    "Predictions": "yolo.records",
    "WeightsHeader": "yolo.records",
    "load_weights": "yolo.model.weights",
    "save_weights": "yolo.model.weights",
    "Targets": "yolo.records",
    "DetectionLoss": "yolo.train.losses.detection",
    "Losses": "yolo.train.losses.detection",
    "Detections": "yolo.records",
    "Detector": "yolo.detect.detector",
    "BatchDetector": "yolo.detect.batch_detector",
    "read_names": "yolo.names_file",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'yolo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
