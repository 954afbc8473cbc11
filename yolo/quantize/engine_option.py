"""What the options --engine, --precision and --calibrate mean for a `Detector`."""

from pathlib import Path
from typing import TYPE_CHECKING

from yolo.defaults import INT8

if TYPE_CHECKING:
    from yolo.engines.shapes import Engine
    from yolo.model.network import Network


def chosen_engine(
    network: "Network", engine: str, precision: str, calibrate: Path | None, letterbox: bool
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
    from yolo.quantize.int8_engine import calibrated_engine  # what it imports is needed for int8 alone

    return calibrated_engine(network, engine, calibrate, letterbox)
