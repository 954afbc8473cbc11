"""Draw boxes, trails and lines on images, and write them as files or as one video for each source."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from yolo.detect.draw import Color, class_color, draw_detections, draw_texts, drawable
from yolo.detect.outputs.naming import Stems
from yolo.detect.outputs.result import Result, color_image
from yolo.detect.outputs.video import VideoFile, video_file
from yolo.detect.track import UNNUMBERED, SourceTracks, draw_line


def annotated(result: Result, names: Sequence[str], state: SourceTracks | None) -> np.ndarray:
    """Return a copy of the image with the detections; state: of a tracked source, for trails and the line."""
    found = result.detections
    image = color_image(result.frame.image)
    boxes, scores, labels = (part.numpy() for part in (found.boxes, found.scores, found.labels))
    if state is None or result.tracks is None:
        return draw_detections(image, boxes, scores, labels, names)
    if state.counter is not None:  # below the boxes, so that it hides no text
        image = image.copy()
        draw_line(image, state.counter)
    texts, colors = numbered_texts(labels, result.tracks, names)
    drawn = draw_texts(image, boxes, scores, texts, colors)
    state.trails.draw(drawn, result.tracks)
    return drawn


def numbered_texts(labels: np.ndarray, tracks: np.ndarray, names: Sequence[str]) -> tuple[list[str], list[Color]]:
    """Return the text of each object, such as `car 3`, and a color for each object instead of each class.

    labels, tracks: int64 `[N]`. An object without a number has the name of its class alone.
    """
    texts, colors = [], []
    for label, track in zip(labels.tolist(), tracks.tolist(), strict=True):
        name = drawable(names[label], label)
        texts.append(name if track == UNNUMBERED else f"{name} {track}")
        colors.append(class_color(-1 - label if track == UNNUMBERED else track))
    return texts, colors


class Videos:
    """One annotated video for each source of frames, `folder/SOURCE.mp4`, written one after the other."""

    def __init__(self, folder: Path, stems: Stems, with_sound: frozenset[str]) -> None:
        self._folder = folder
        self._stems = stems
        self._with_sound = with_sound
        self._source: str | None = None
        self._video: VideoFile | None = None
        self._open = ExitStack()
        self.paths: list[Path] = []

    def __enter__(self) -> "Videos":
        return self

    def __exit__(self, *error) -> bool | None:
        """Finish the last video, or drop it after an error."""
        return self._open.__exit__(*error)

    def write(self, result: Result, image: np.ndarray) -> None:
        """Append an image to the video of its source; finish the one of the source before."""
        source = result.frame.source
        if source != self._source:
            self._open.close()
            path = self._folder / f"{self._stems.of_source(source)}.mp4"
            sound = source if source in self._with_sound else None
            self._video = self._open.enter_context(video_file(path, sound))
            self._source = source
            self.paths.append(path)
        self._video.write(image, result.frame.time)
