"""Small reports for tests of pages, and a parser of pages."""

from html.parser import HTMLParser

from tests.helpers.scoring_scenes import evaluation_of, found_of, ground_truth_of
from yolo.evaluate.analysis.report import About, ReportRow
from yolo.pages.page import environment

ABOUT = About(
    command="python tools/evaluate.py --report here",
    cfg="cfg/tiny.cfg",
    weights="backup/tiny_best.weights",
    weights_sha256="0f" * 32,
    data="tiny.data",
    date="2026-11-21 12:00:00+00:00",
    versions=(("Python", "3.11.2"), ("torch", "2.4.0")),
)
ROWS = (
    ReportRow("VOC area mAP", 0.123456789, "area under the curve, IoU > .5"),
    ReportRow("COCO AP", None, "101 recalls"),
)
OPEN = {"meta", "link", "img", "br", "input"}  # HTML elements without an end


class ParsedPage(HTMLParser):
    """The elements, attributes and text of a page; raises where an end tag does not fit its start tag."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.starts, self.texts, self.script = [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.starts.append((tag, dict(attrs)))
        if tag not in OPEN:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if "script" in self.open:
            self.script += data
        elif "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self):
        return "\n".join(self.texts)

    def values(self, name):
        """All values of an attribute."""
        return [attributes[name] for _, attributes in self.starts if name in attributes]

    def count(self, tag):
        return sum(start == tag for start, _ in self.starts)


def svg_of(drawing):
    """The SVG text of a drawing."""
    return str(environment().get_template("parts.html.jinja").module.svg(drawing))


def scene_of(boxes, labels=2):
    """The evaluation of drawn images (tiny_data.FOUR_IMAGES): one error of each kind among true positives."""
    rows = [
        (index, label, (x1, y1, x2, y2), False) for index, image in enumerate(boxes) for x1, y1, x2, y2, label in image
    ]
    found = [
        (0, 0, 0.9, (8, 8, 24, 24)),  # true positive
        (0, 0, 0.8, (9, 8, 24, 24)),  # duplicate
        (1, 1, 0.95, (30, 10, 54, 20)),  # IoU .5: true positive
        (1, 1, 0.7, (4, 30, 18, 44)),  # classification
        (1, 0, 0.6, (50, 1, 60, 9)),  # background
        (2, 1, 0.9, (40, 24, 50, 40)),  # IoU .4: localization
        (3, 1, 0.5, (36, 22, 60, 30)),  # IoU .4 of another class: both
        (3, 1, 0.1, (6, 4, 20, 20)),  # true positive, below the score threshold
    ]
    names = ("red", "green", *(f"class {number}" for number in range(2, labels)))
    return evaluation_of(ground_truth_of(rows), found_of(found), names, len(boxes), (48, 64))


def without_detections(evaluation):
    """The same evaluation without a detection."""
    return evaluation_of(evaluation.ground_truth, found_of([]), evaluation.names, len(evaluation.image_ids), (48, 64))


def without_ground_truth(evaluation):
    """The same evaluation without a ground truth."""
    return evaluation_of(
        ground_truth_of([]),
        evaluation.detections,
        evaluation.names,
        len(evaluation.image_ids),
        (48, 64),
    )
