"""yolo.model.heads.yolo: a head's section → the head, and the mistakes that are named. Expected: by hand."""

import pytest
import torch
from torch import nn

from yolo.cfg import parse_cfg
from yolo.errors import CfgError
from yolo.model.building import BuildContext, Built
from yolo.model.heads.region import RegionHead, build_region
from yolo.model.heads.yolo import YoloHead, build_gaussian_yolo, build_yolo
from yolo.model.heads.yolov1 import YoloV1Head, build_detection
from yolo.settings import InputSettings

BUILDERS = {
    "yolo": build_yolo,
    "Gaussian_yolo": build_gaussian_yolo,
    "region": build_region,
    "detection": build_detection,
}
TREE = "animal -1\nthing -1\ndog 0\ncat 0\n"


def built(kind, text, shape, folder="."):
    """The head of a section whose first key stands on line 3, after a layer of `shape`; the network sees 64 x 40."""
    section = parse_cfg(f"[net]\n[{kind}]\n{text}", f"{folder}/x.cfg")[1]
    context = BuildContext(
        input=InputSettings(64, 40, 3, letter_box=False),
        dialect="alexeyab",
        built=(Built(nn.Identity(), (-1,), shape),),
        stored_values=0,
    )
    layer = BUILDERS[kind](section, context)
    assert (layer.sources, layer.shape) == ((0,), shape)
    assert layer.head is not None
    unread = [entry.key for entry in section.unread()]
    return layer.module, unread


def test_a_yolo_head_has_its_masks_anchors_and_a_stride_in_pixels():
    text = "mask=2,0\nnum=3\nanchors=1,2, 3,4, 5,6\nclasses=6\nscale_x_y=1.2\nnew_coords=1\n"
    head, unread = built("yolo", text, (22, 4, 5))
    assert isinstance(head, YoloHead) and not head.gaussian and unread == []
    assert head.anchors.tolist() == [[5, 6], [1, 2]] and head.anchor_ids == (2, 0)
    assert (head.classes, head.stride) == (6, (16, 8))
    assert (head.scale_x_y, head.new_coords) == (1.2, True)


@pytest.mark.parametrize(("point", "shift"), [("center", 0), ("left_top", 0.5), ("right_bottom", -0.5)])
def test_yolo_point_of_a_gaussian_head_sets_its_center_shift(point, shift):
    text = f"num=1\nanchors=1,2\nclasses=6\nyolo_point={point}\nuc_normalizer=0.1\nscale_x_y=1.2\n"
    head, unread = built("Gaussian_yolo", text, (15, 4, 5))
    assert head.gaussian and unread == []
    assert (head.center_shift, head.scale_x_y, head.stride) == (shift, 1.2, (16, 8))


def test_a_region_head_of_yolov2_leaves_no_key_unread():
    text = (
        "anchors=0.5,0.6, 1.5,1.6\nbias_match=1\nclasses=3\ncoords=4\nnum=2\nsoftmax=1\njitter=.3\n"
        "rescore=1\nobject_scale=5\nnoobject_scale=1\nclass_scale=1\ncoord_scale=1\nabsolute=1\n"
        "thresh=.6\nrandom=1\nlog=1\nsqrt=1\nclassfix=1\nmask_scale=1\nmax=30\nresize=1\n"
        "focal_loss=0\nbackground=1\n"
    )
    head, unread = built("region", text, (16, 4, 5))
    assert isinstance(head, RegionHead) and unread == []
    torch.testing.assert_close(head.anchors, torch.tensor([[0.5, 0.6], [1.5, 1.6]]))
    assert (head.classes, head.softmax, head.background, head.tree) == (3, True, True, None)


def test_a_detection_head_of_yolov1_leaves_no_key_unread():
    text = (
        "classes=4\ncoords=4\nrescore=1\nside=3\nnum=2\nsoftmax=0\nsqrt=1\njitter=.2\nobject_scale=1\n"
        "noobject_scale=.5\nclass_scale=1\ncoord_scale=5\nforced=0\nrandom=0\nreorg=0\nmax=30\nresize=1\n"
    )
    head, unread = built("detection", text, (126, 1, 1))
    assert isinstance(head, YoloV1Head) and unread == []
    assert (head.side, head.boxes, head.classes) == (3, 2, 4)
    assert (head.squared, head.softmax) == (True, False)


def test_a_detection_head_accepts_any_map_with_the_right_number_of_values():
    head, _ = built("detection", "coords=4\nclasses=4\nside=3\nnum=2\n", (14, 3, 3))
    assert head.decode(torch.zeros(1, 14, 3, 3)).boxes.shape == (1, 18, 4)


def test_the_tree_is_a_file_beside_the_cfg_and_the_map_may_be_missing(tmp_path):
    (tmp_path / "a.tree").write_text(TREE)
    text = "classes=4\nnum=1\nsoftmax=1\ntree=a.tree\nmap=a.map\n"
    head, unread = built("region", text, (9, 4, 5), tmp_path)
    assert unread == []
    assert head.tree.names == ("animal", "thing", "dog", "cat")
    assert head.classes == 4


@pytest.mark.parametrize(
    ("kind", "text", "channels", "line", "message"),
    [
        (
            "yolo",
            "num=2\nmask=0,2\n",
            50,
            4,
            "mask: found '0,2', expected anchors 0 to 1",
        ),
        ("yolo", "num=2\nanchors=1,2\n", 50, 4, "anchors: found 2, the smallest 1, expected pos"),
        ("yolo", "num=9999\n", 50, 3, "num: found '9999', expected at most 5000 anchors"),
        (
            "yolo",
            "classes=3\n",
            9,
            3,
            "classes: found 9 filters in layer 0, expected 1 anchors x 8",
        ),
        (
            "Gaussian_yolo",
            "classes=3\n",
            8,
            3,
            "classes: found 8 filters in layer 0, expected 1 anch",
        ),
        (
            "Gaussian_yolo",
            "yolo_point=top\n",
            29,
            3,
            "yolo_point: found 'top', expected one of cent",
        ),
        ("region", "coords=5\n", 25, 3, "coords: found '5', expected 4: x, y, w, h"),
        (
            "region",
            "classes=3\n",
            9,
            3,
            "classes: found 9 filters in layer 0, expected 1 anchors x 8",
        ),
        ("region", "num=0\n", 25, 3, "num: found '0', expected a whole number of at least 1"),
        ("region", "num=99999999\n", 25, 3, "num: found '99999999', expected at most 5000 anchors"),
        ("region", "tree=no.tree\n", 25, 3, "tree: found no file 'no.tree', expected a file"),
        ("detection", "side=7\n", 6, 2, "coords: found nothing, expected 4: x, y, w, h"),
        ("detection", "side=0\n", 6, 3, "side: found '0', expected a whole number of at least 1"),
        (
            "detection",
            "coords=4\n",
            6,
            2,
            "side: found 120 values in layer 0, expected 7x7 cells x (",
        ),
        (
            "detection",
            "coords=4\nside=2\n",
            6,
            4,
            "side: found 120 values in layer 0, "
            "expected 2x2 cells x (1 classes + 1 boxes x 5) = 24 values before the head",
        ),
    ],
)
def test_a_cfg_error_names_its_line(kind, text, channels, line, message, tmp_path):
    with pytest.raises(CfgError) as caught:
        built(kind, text, (channels, 4, 5), tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/x.cfg:{line}: [{kind}] {message}")


@pytest.mark.parametrize(
    ("text", "channels", "message"),
    [
        (
            "classes=5\n",
            10,
            "tree: found 4 classes in a.tree, expected 5 classes, as in this section",
        ),
        ("background=1\nclasses=4\n", 9, "background: found '1', expected 0 with a tree"),
    ],
)
def test_a_tree_must_fit_the_head(text, channels, message, tmp_path):
    (tmp_path / "a.tree").write_text(TREE)
    with pytest.raises(CfgError) as caught:
        built("region", f"{text}tree=a.tree\n", (channels, 4, 5), tmp_path)
    assert str(caught.value).partition("] ")[2] == message


def test_anchors_beyond_num_are_kept_for_the_mask_and_logged(caplog):
    # as cspx-p7-mish.cfg has it: num=2, three anchors, and a mask that names the third
    text = "classes=2\nnum=2\nmask=1,2\nanchors=1,2, 3,4, 5,6\n"
    head, _ = built("yolo", text, (14, 4, 5))
    assert head.anchors.tolist() == [[3, 4], [5, 6]] and len(head.all_anchors) == 3
    assert "[yolo] has 3 anchors, num=2" in caplog.text
    head, _ = built("region", "classes=2\nnum=1\nanchors=1,2, 3,4\n", (7, 4, 5))
    assert head.anchors.tolist() == [[1, 2]]  # region_layer.c takes num of them


@pytest.mark.parametrize(
    ("numbers", "anchors"),
    [
        ("1,2, 3,4", [[1, 2], [3, 4], [0.5, 0.5]]),  # make_yolo_layer's default
        ("1,2, 3,4, 5", [[1, 2], [3, 4], [5, 0.5]]),
        ("1,2, 3,4, 0,0", [[1, 2], [3, 4], [0, 0]]),
        ("1,2, 3,4, ,6", [[1, 2], [3, 4], [0, 6]]),  # atof of nothing is 0
    ],
)
def test_anchors_that_the_mask_does_not_use_may_be_missing_odd_empty_or_zero(numbers, anchors, caplog):
    head, _ = built("yolo", f"classes=2\nmask=0,1\nnum=3\nanchors={numbers}\n", (14, 4, 5))
    assert head.all_anchors.tolist() == anchors and head.anchors.tolist() == [[1, 2], [3, 4]]
    count = len(numbers.split(","))
    (message,) = caplog.messages
    assert message.startswith(f"./x.cfg:6: [yolo] anchors: found {count}, the smallest ")
    assert message.endswith("expected two above 0 for each of num=3 anchors; the mask uses no other")


@pytest.mark.parametrize("numbers", ["1,2, 3,4, 5", "1,2, 3,4, 0,0", "1,2, 3,4, ,6", "1,2, 3,4", "1,2, 3,-4, 5,6"])
def test_an_anchor_that_the_mask_uses_must_be_there_and_above_0(numbers):
    with pytest.raises(CfgError, match="expected positive numbers, two for each of num=3 anchors"):
        built("yolo", f"classes=2\nmask=0,2\nnum=3\nanchors={numbers}\n", (14, 4, 5))
