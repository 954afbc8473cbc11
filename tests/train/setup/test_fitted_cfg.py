"""yolo.train.setup.fitted_cfg: values by hand, shipped cfgs built again with other classes, anchors no worse."""

import numpy as np
import pytest

from tests.helpers.tiny_data import write_image
from yolo.cfg import parse_cfg, read_cfg
from yolo.data.anchors import fit_of
from yolo.data.head_anchors import heads_of
from yolo.data_file import read_data
from yolo.errors import CfgError
from yolo.formats.cfg_text import edit_cfg
from yolo.model.network import build
from yolo.train.setup.fitted_cfg import FitOptions, anchor_values, class_values, fitted_cfg, schedule_values

DETECTOR = """[net]
batch=8
width=64
height=64
learning_rate=.001
policy=steps
steps=80,90
scales=.1,.1
max_batches=100
burn_in=50

[convolutional]
filters=8
size=3
stride=8
pad=1
activation=leaky

# before the head
[convolutional]
filters=14
size=1
activation=linear

[yolo]
mask=0,1
anchors=8,8, 24,24
classes=2
num=2
"""
CLASSIFIER = """[net]
width=16
height=16
batch=4
max_batches=9

[convolutional]
filters=10
size=1
activation=linear

[avgpool]

[softmax]
"""


def built(text):
    return build(parse_cfg(text, "x.cfg"))[0]


def build_with_seven_classes(path):
    sections = read_cfg(path)
    values = class_values(build(sections)[0], sections, 7)
    text, changes = edit_cfg(path.read_text(), str(path), values)
    network = built(text)
    assert network.classes == 7 and changes
    assert len(changes) == (2 * len(network.heads) or 1)  # classes of each head, outputs of the layer before it


@pytest.mark.parametrize("name", ["yolov2-tiny", "yolov3-tiny", "yolov4-tiny", "yolov7-tiny"])
def test_small_shipped_cfgs_build_with_seven_classes(project, name):
    build_with_seven_classes(project / "cfg" / f"{name}.cfg")


@pytest.mark.slow
def test_every_shipped_cfg_builds_with_seven_classes(project):
    for path in sorted((project / "cfg").glob("*.cfg")):
        build_with_seven_classes(path)


def test_filters_by_hand():
    network, sections = built(DETECTOR), parse_cfg(DETECTOR, "x.cfg")
    assert class_values(network, sections, 3) == {2: {"filters": "16"}, 3: {"classes": "3"}}


@pytest.mark.parametrize(
    ("head", "key", "value"),
    [
        ("[region]\nanchors=1,1, 2,2\nnum=2\nclasses=2\n", "filters", "16"),
        ("[Gaussian_yolo]\nmask=0,1\nanchors=8,8, 9,9\nnum=2\nclasses=2\n", "filters", "24"),
    ],
)
def test_other_heads_by_hand(head, key, value):
    before = "18" if "Gaussian" in head else "14"
    before = str(2 * (9 + 2)) if "Gaussian" in head else before
    text = DETECTOR.replace("filters=14", f"filters={before}")
    text = text[: text.index("[yolo]")] + head
    assert class_values(built(text), parse_cfg(text, "x.cfg"), 3)[2] == {key: value}


def test_yolov1_takes_connected_outputs():
    head = "[connected]\noutput=44\nactivation=linear\n\n[detection]\ncoords=4\nclasses=1\nside=2\nnum=2\n"
    text = DETECTOR[: DETECTOR.index("# before")] + head
    assert class_values(built(text), parse_cfg(text, "x.cfg"), 5)[2] == {"output": "60"}


def test_counters_of_the_bases_classes_go():
    text = DETECTOR + "counters_per_class=5,9\n"
    assert class_values(built(text), parse_cfg(text, "x.cfg"), 3)[3]["counters_per_class"] is None


def test_a_classifier_gets_filters_and_no_anchors():
    network, sections = built(CLASSIFIER), parse_cfg(CLASSIFIER, "x.cfg")
    assert class_values(network, sections, 4) == {1: {"filters": "4"}}
    assert anchor_values(network, heads_of(network), np.zeros((0, 2))) is None


def test_a_head_behind_a_route_of_two_is_named_with_its_line():
    text = DETECTOR.replace("[yolo]", "[route]\nlayers=-1,-2\n\n[yolo]").replace("filters=14", "filters=6")
    with pytest.raises(CfgError, match=r"x.cfg:25: found \[route\] before the head"):
        class_values(built(text), parse_cfg(text, "x.cfg"), 3)


def test_anchors_are_those_of_the_boxes_and_never_worse():
    network = built(DETECTOR)
    boxes = np.array([[6.0, 30.0]] * 20 + [[40.0, 10.0]] * 20)
    fitted = anchor_values(network, heads_of(network), boxes)
    assert fitted.values == {3: {"anchors": "6,30, 40,10", "num": "2", "mask": "0,1"}}
    assert fitted.after.recall == 1 and fitted.before == fit_of(heads_of(network), boxes)
    at_the_anchors = np.array([[8.0, 8.0]] * 5 + [[24.0, 24.0]] * 5)
    assert anchor_values(network, heads_of(network), at_the_anchors) is None
    assert anchor_values(network, heads_of(network), boxes[:20]) is None  # one size, two anchors


def test_the_schedule_by_hand():
    net = parse_cfg(DETECTOR, "x.cfg")[0]
    assert schedule_values(net, classes=5, images=100) == {
        "batch": "8", "max_batches": "10000", "steps": "8000,9000", "scales": "0.1,0.1", "burn_in": "50",
    }  # fmt: skip
    assert schedule_values(net, classes=1, images=9000)["max_batches"] == "9000"
    short = schedule_values(net, classes=1, images=100, epochs=4)
    assert (short["max_batches"], short["steps"], short["burn_in"]) == ("50", "40,45", "25")  # half of the base's run
    published = parse_cfg(DETECTOR.replace("max_batches=100", "max_batches=500200"), "x.cfg")[0]
    assert schedule_values(published, classes=1, images=100, epochs=48)["burn_in"] == "5"  # a tenth of 6,000 steps
    fastest = parse_cfg(DETECTOR.replace("max_batches=100", "max_batches=500000").replace("in=50", "in=4000"), "x")[0]
    for classes, burn_in in ((1, "1000"), (6, "2000"), (80, "4000")):  # 6,000, 12,000 and 160,000 steps
        assert schedule_values(fastest, classes, images=100)["burn_in"] == burn_in
    early = parse_cfg(DETECTOR.replace("steps=80,90", "steps=50,75").replace(".1,.1", ".5,.2"), "x.cfg")[0]
    assert schedule_values(early, 1, 100, 8)["steps"] == "50,75" and schedule_values(early, 1, 1)["scales"] == "0.5,0.2"
    long = parse_cfg(DETECTOR.replace("steps=80,90", "steps=50,400"), "x.cfg")[0]  # a step that is never reached
    assert schedule_values(long, 1, 100, 8)["steps"] == "80,90"
    testing = parse_cfg(DETECTOR.replace("batch=8", "batch=1"), "x.cfg")[0]
    assert schedule_values(testing, 1, 1)["batch"] == "64"


def test_memory_decides_the_subdivisions(four, tmp_path):
    base = tmp_path / "base.cfg"
    base.write_text(DETECTOR)
    data = read_data(four.data)
    plenty = fitted_cfg(base, data, FitOptions())
    assert "subdivisions=1\n" in plenty.text
    # by hand: an image needs 3 copies of 64*64*3 numbers, 2 of 8*8*8 / 2 and 4 of 14*8*8, 165,888 bytes; two fit
    little = fitted_cfg(base, data, FitOptions(free=400_000))
    assert "subdivisions=4\n" in little.text
    with pytest.raises(CfgError, match="more than the free memory for one image of 64x64"):
        fitted_cfg(base, data, FitOptions(free=1000))


def test_classifiers_read_folders(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        write_image(tmp_path / "set" / name / "1.png", np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "x.names").write_text("a\nb\n")
    (tmp_path / "x.data").write_text("classes=2\ntrain=set\nlabels=x.names\n")
    (tmp_path / "base.cfg").write_text(CLASSIFIER)
    made = fitted_cfg(tmp_path / "base.cfg", read_data(tmp_path / "x.data"), FitOptions(epochs=10))
    assert built(made.text).classes == 2 and "max_batches=5\n" in made.text
    assert made.notes[0] == "data: 2 training images, 2 classes"
