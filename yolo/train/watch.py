"""The film strip of a training run: what the network detects in a few images at several steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.data.images import read_image
from yolo.detect.detector import Detector
from yolo.explain.film.strip import FilmStrip, Watched, earlier_images, earlier_moments, named_images
from yolo.model.network import Network

WATCH_THRESH = 0.25  # of the detections in the frames: darknet detector test


@dataclass(frozen=True)
class Watch:
    """A film strip and the detector of the network that is trained."""

    strip: FilmStrip
    detector: Detector

    def shoot(self, step: int) -> Mapping[str, np.ndarray]:
        """Add the network's detections at a step to the strip, and return its frames. The network is in eval mode.

        Raises OSError if a file cannot be written.
        """
        return self.strip.shoot(step, self.detector)


def read_watched(paths: Sequence[Path], channels: int) -> list[Watched]:
    """Read the images of `--watch`. channels: of the network input.

    Raises:
        DatasetError: an image cannot be read, or there are too many.
        OSError: a file is not there.
    """
    return named_images(paths, [read_image(path, channels) for path in paths])


def watch_images(
    watched: Sequence[Watched], folder: Path, network: Network, names: Sequence[str], title: str, resumed: int | None
) -> Watch | None:
    """Set up the film strip of a run; None if there is no image to watch.

    Args:
        watched: the images; if there are none, a resumed run continues with those of its strip that still exist.
        folder: of the run.
        network: with a detection head.
        names: of its classes.
        title: of the page.
        resumed: the step from which the run continues, or None for a new run.

    Raises DatasetError if an image of an earlier strip cannot be read.
    """
    if not watched and resumed is not None:
        watched = read_watched([path for path in earlier_images(folder) if path.is_file()], network.input.channels)
    if not watched:
        return None
    moments = [] if resumed is None else earlier_moments(folder, resumed)
    detector = Detector(network, names, WATCH_THRESH, letterbox=network.letterboxed, engine=network)
    return Watch(FilmStrip(folder, title, watched, moments), detector)
