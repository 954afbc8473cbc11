"""A few images that are watched as a network learns: their film strip in the folder of the run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.data.images import read_image
from yolo.detect.detector import Detector
from yolo.explain.film.strip import (
    FilmStrip,
    earlier_images,
    earlier_moments,
    named_images,
)
from yolo.model.network import Network

WATCH_THRESH = 0.25  # of the detections in the frames: darknet detector test


@dataclass(frozen=True)
class Watch:
    """A film strip and the detector of the network that is trained."""

    strip: FilmStrip
    detector: Detector

    def shoot(self, step: int) -> Mapping[str, np.ndarray]:
        """Add the network's answers at a step to the strip, and return its frames. The network is in eval mode.

        Raises OSError if a file cannot be written.
        """
        return self.strip.shoot(step, self.detector)


def watch_images(
    paths: Sequence[Path], folder: Path, network: Network, names: Sequence[str], title: str, resumed: int | None
) -> Watch | None:
    """Set up the film strip of a run; None if there is no image to watch.

    Args:
        paths: the images; if there are none, a resumed run goes on with those of its strip that are still there.
        folder: of the run.
        network: with a detection head.
        names: of its classes.
        title: of the page.
        resumed: the step from which the run goes on, or None for a new run.

    Raises:
        DatasetError: an image cannot be read, or there are too many.
    """
    if not paths and resumed is not None:
        paths = [path for path in earlier_images(folder) if path.is_file()]
    if not paths:
        return None
    watched = named_images(paths, [read_image(path, network.input.channels) for path in paths])
    moments = [] if resumed is None else earlier_moments(folder, resumed)
    detector = Detector(network, names, WATCH_THRESH, letterbox=network.letterboxed, engine=network)
    return Watch(FilmStrip(folder, title, watched, moments), detector)
