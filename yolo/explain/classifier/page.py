"""The page of a classifier's report: `classifier.html.jinja` and the records that it shows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo.console.progress import progress
from yolo.data.images import ignore_remark, read_image
from yolo.detect.classifier import Classifier
from yolo.errors import DatasetError
from yolo.evaluate.analysis.json_records import json_text
from yolo.evaluate.html.charts import heat_chart
from yolo.explain.classifier.charts import accuracy_chart, class_histogram, reliability_chart
from yolo.explain.classifier.maps import class_maps, heat_image, map_layer
from yolo.explain.classifier.report import CLASSIFIER_FILE, ClassifierReport, GuessedImage
from yolo.letterbox import resized_pixels
from yolo.pages.page import data_uri, render, write_page

TEMPLATES = Path(__file__).parent / "templates"
MOST_IN_A_TABLE = 14  # classes; the confusion matrix of more does not fit across a page
MOST_BARS = 40  # classes; more are drawn as a histogram
SHOWN_PAIRS = 12
SHOWN_CLASSES = 25  # rows of the table; the others are folded
SHOWN_GUESSES = 3
LONGEST_SIDE = 224  # pixels of an image in the page
BALANCED = 0.02  # smaller differences of probability and accuracy are not worth a sentence


@dataclass(frozen=True)
class GuessView:
    """An image as the page shows it. network_input: its pixels; maps: (caption, image) of LayerCAM; as data URIs.

    gone: why there is no image, else "".
    """

    image: GuessedImage
    network_input: str = ""
    maps: tuple[tuple[str, str], ...] = ()
    gone: str = ""

    @property
    def file(self) -> str:
        """The last two parts of the path: file and folder, which often names the class."""
        return "/".join(Path(self.image.path).parts[-2:])


def write_classifier_page(folder: str | Path, report: ClassifierReport, classifier: Classifier) -> Path:
    """Write the page of a report and its classifier.json, and return the page's path.

    Raises:
        OSError: a file cannot be written.
        OutputError: the folder holds a page of another kind.
    """
    views = image_views(report, classifier)
    return write_page(folder, classifier_page(report, views), CLASSIFIER_FILE, json_text(report))


def image_views(report: ClassifierReport, classifier: Classifier) -> dict[str, GuessView]:
    """Return what is shown of the report's images, by path; the images are read again."""
    shown = {image.path: image for image in (*report.top_losses, *report.correct)}
    layer = map_layer(classifier.network)
    return {path: _view(image, classifier, layer) for path, image in progress(shown.items(), "LayerCAM", len(shown))}


def classifier_page(report: ClassifierReport, views: dict[str, GuessView]) -> str:
    """Return the page. views: of the images of the report, by path."""
    names = [each.name for each in report.classes]
    lowest = sorted(report.classes, key=lambda each: (each.top_1 is None, each.top_1 or 0, -each.images))
    many = len(names) > MOST_BARS
    return render(
        TEMPLATES,
        "classifier.html.jinja",
        report=report,
        title=_title(report),
        pairs=report.pairs[:SHOWN_PAIRS],
        more_pairs=report.pairs[SHOWN_PAIRS:],
        classes=lowest[:SHOWN_CLASSES],
        more_classes=lowest[SHOWN_CLASSES:],
        many=many,
        class_chart=class_histogram(report.classes) if many else accuracy_chart(report.classes, report.k),
        reliability_chart=reliability_chart(report.calibration),
        table=len(names) <= MOST_IN_A_TABLE,
        heat_chart=heat_chart(names, report.matrix) if report.matrix and len(names) > MOST_IN_A_TABLE else None,
        calibration=calibration_text(report),
        top_losses=[views[image.path] for image in report.top_losses],
        correct=[views[image.path] for image in report.correct],
        shown_guesses=SHOWN_GUESSES,
    )


def calibration_text(report: ClassifierReport) -> str:
    """Return in a sentence whether the probabilities are too high or too low; "" without an image."""
    if report.top_1 is None:
        return ""
    gap = report.confidence - report.top_1
    means = f"The likeliest class has a probability of {report.confidence:.3f} on average, and {report.top_1:.3f}"
    if abs(gap) < BALANCED:
        return f"{means} of them are correct: on average the probabilities are right."
    if gap > 0:
        return f"{means} of them are correct: the probabilities are too high."
    return f"{means} of them are correct: the probabilities are too low."


def _view(image: GuessedImage, classifier: Classifier, layer: int) -> GuessView:
    network = classifier.network
    try:
        prepared = classifier.prepare(read_image(image.path, network.input.channels, ignore_remark))
    except (DatasetError, OSError) as error:
        return GuessView(image, gone=str(error))
    classes = list(dict.fromkeys((image.guesses[0], image.ground_truth)))
    labels = [classifier.names.index(name) for name in classes]
    device = next((each.device for each in network.parameters()), prepared.device)
    heats = class_maps(network, prepared.to(device), labels, layer)
    pixels = _shown(prepared.numpy())
    maps = tuple((f"for {name}", data_uri(heat_image(pixels, heat))) for name, heat in zip(classes, heats, strict=True))
    return GuessView(image, data_uri(pixels), maps)


def _shown(prepared: np.ndarray) -> np.ndarray:
    """Return a network input float32 `[C, H, W]` as uint8 RGB `[H, W, 3]` of at most LONGEST_SIDE pixels a side."""
    pixels = (prepared.transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8)
    if pixels.shape[2] != 3:
        pixels = np.repeat(pixels[..., :1], 3, axis=2)
    height, width = pixels.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(height * scale)), max(1, round(width * scale))
    resized = resized_pixels(np.ascontiguousarray(pixels), size)
    return (resized.numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)


def _title(report: ClassifierReport) -> str:
    data = report.about.data_name or Path(report.about.data).stem
    return f"{Path(report.about.weights).stem} on {data}"
