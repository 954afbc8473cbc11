"""yolo.train.losses.region: its gradient is the delta of compiled Darknet, and of one written cell by cell.

Expected: pjreddie's Darknet (tests/golden/early_losses.npz; see its README), tests/helpers/slow_region.py, which
follows region_layer.c of both Darknets with plain numbers, or a calculation by hand.
"""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from tests.helpers.golden import network_of
from tests.helpers.recorded_heads import head_deltas, one_target, recorded_head, recorded_losses, recorded_targets
from tests.helpers.slow_core import logistic
from tests.helpers.slow_region import PARENTS, TREE, slow_delta
from yolo.errors import DatasetError
from yolo.model.class_tree import read_class_map, read_tree
from yolo.model.heads.region import ErrorScales, RegionHead, RegionSettings
from yolo.records import Targets
from yolo.train.losses.assign import DIALECTS
from yolo.train.losses.detection import DetectionLoss
from yolo.train.losses.head_loss import LossOptions
from yolo.train.losses.region import region_terms

KINDS = "background background_logistic bias_match logistic map rescore seen_12799 seen_12800 softmax"
CASES = [f"region_{kind}" for kind in f"{KINDS} tree tree_alone unread".split()]
LATE = 12_800
CLASSES = len(PARENTS)
ANCHORS = torch.tensor([[0.9, 1.1], [1.7, 2.3]])
SETTINGS = RegionSettings(
    max_boxes=30,
    jitter=0.0,
    resize=1.0,
    random=0.0,
    scales=ErrorScales(1.5, 5.0, 0.7, 1.3, rescore=False),
    thresh=0.35,
    bias_match=False,
    classfix=0,
    focal_loss=False,
    class_map="",
)
deltas = partial(head_deltas, region_terms, seen=LATE)


# ---------------------------------------------------------------------------------------------- recorded by Darknet


@pytest.fixture(scope="module")
def recorded(project):
    return recorded_losses(project, "region")


def targets_of(recorded, case, folder, classes):
    """The recorded targets; with a `map` in `folder`, their labels are already those of the head."""
    targets = recorded_targets(recorded, case)
    if f"{case}/map" in recorded:
        class_map = read_class_map(folder / "a.map", classes)
        return targets._replace(labels=class_map[targets.labels])
    return targets


def test_every_recorded_case_is_tested(recorded):
    assert sorted({key.partition("/")[0] for key in recorded}) == CASES


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_compiled_darknets_deltas(recorded, case, tmp_path):
    built = recorded_head(recorded, case, tmp_path)
    head, settings = built.module, built.head
    raw = recorded[f"{case}/raw"]
    targets = targets_of(recorded, case, tmp_path, head.classes)
    # Darknet adds a batch to `seen` before it looks; what is recorded is what it saw
    found, delta = deltas(head, settings, raw, targets, seen=int(recorded[f"{case}/seen"]) - len(raw))
    assert delta.abs().max() > 1
    assert 0 < found.ignored < found.cells
    torch.testing.assert_close(delta, torch.from_numpy(recorded[f"{case}/delta"]), rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------ cell by cell


def crowd(generator, images):
    """Targets: five ground truths an image, of which the first cell gets two more; none in the last image."""
    rows = []
    for image in range(images - 1):
        own = [
            (
                image,
                generator.integers(CLASSES),
                *generator.uniform((0.05,) * 4, (0.95, 0.95, 0.7, 0.7)),
            )
            for _ in range(5)
        ]
        rows += own
        for _ in range(2):
            x, y, w, h = own[0][2:]
            rows.append((image, generator.integers(CLASSES), x, y, w * 1.01, h * 0.99))
    table = torch.tensor(np.array(rows))
    return Targets(table[:, 0].long(), table[:, 1].long(), table[:, 2:].float())


def head_of(kind, folder):
    tree = None
    if kind == "tree":
        (folder / "a.tree").write_text(TREE)
        tree = read_tree(folder / "a.tree")
    return RegionHead(anchors=ANCHORS, classes=CLASSES, softmax=kind != "logistic", tree=tree)


@pytest.mark.parametrize("kind", ["softmax", "logistic", "tree"])
@pytest.mark.parametrize(
    ("dialect", "changed"),
    [
        ("pjreddie", {}),
        ("pjreddie", {"classfix": 2, "focal_loss": True, "bias_match": True, "rescore": True}),
        ("alexeyab", {"rescore": True}),
        ("alexeyab", {"classfix": -1, "bias_match": True}),
        ("alexeyab", {"classfix": 1}),
        ("alexeyab", {"classfix": 2, "bias_match": True}),
        ("alexeyab", {"classfix": 1, "focal_loss": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("seen", [LATE - 4, LATE - 3], ids=["early", "late"])
def test_gradients_are_the_cell_by_cell_deltas(kind, dialect, changed, seen, tmp_path):
    generator = np.random.default_rng(0)
    head, images = head_of(kind, tmp_path), 3
    changed = dict(changed)
    scales = replace(SETTINGS.scales, rescore=changed.pop("rescore", False))
    settings = replace(SETTINGS, scales=scales, **changed)
    raw = 0.5 * generator.standard_normal((images, 2 * (5 + CLASSES), 3, 4))
    targets = crowd(generator, images)
    found, delta = deltas(head, settings, raw.astype(np.float32), targets, dialect=dialect, seen=seen)
    rows = list(zip(targets.labels.tolist(), *targets.boxes.T.tolist(), strict=True))
    ious, ignored = [], 0
    for image in range(images):
        own = [row for row, i in zip(rows, targets.image_index.tolist(), strict=True) if i == image]
        values = raw[image].reshape(2, 5 + CLASSES, 3, 4)
        slow, overlaps, count = slow_delta(head, settings, dialect, seen + images, values, own)
        np.testing.assert_allclose(delta[image].reshape(slow.shape).numpy(), slow, rtol=1e-4, atol=1e-5)
        ious, ignored = ious + overlaps, ignored + count
    np.testing.assert_allclose(found.ious.numpy(), ious, atol=1e-5)
    assert found.ignored == ignored
    assert found.cells == images * 2 * 3 * 4


# ------------------------------------------------------------------------------------------------------------ by hand

NONE_AT_ALL = Targets(torch.zeros(0).long(), torch.zeros(0).long(), torch.zeros(0, 4))


def test_without_a_ground_truth_every_cell_learns_objectness_0_only():
    head = RegionHead(anchors=ANCHORS, classes=3, softmax=True)
    found, delta = deltas(head, SETTINGS, torch.zeros(2, 16, 3, 4), NONE_AT_ALL)
    by_cell = delta.reshape(2, 2, 8, 3, 4)
    torch.testing.assert_close(  # .7 x (0 - .5) x .5 x .5
        by_cell[:, :, 4], torch.full((2, 2, 3, 4), -0.0875)
    )
    assert by_cell[:, :, [0, 1, 2, 3, 5, 6, 7]].abs().max() == 0
    assert (found.box, found.classification, found.ignored, len(found.ious)) == (0, 0, 0, 0)


def test_boxes_learn_their_anchors_until_12800_images():
    head = RegionHead(anchors=ANCHORS, classes=3, softmax=True)
    raw = torch.ones(2, 16, 3, 4)
    _, early = deltas(head, SETTINGS, raw, NONE_AT_ALL, seen=12_797)
    found, late = deltas(head, SETTINGS, raw, NONE_AT_ALL, seen=12_798)
    x = logistic(1)
    expected = torch.tensor([0.01 * (0.5 - x) * x * (1 - x)] * 2 + [-0.01] * 2)
    torch.testing.assert_close(early.reshape(2, 2, 8, 3, 4)[1, 1, :4, 2, 3], expected)
    assert found.box == 0
    assert late.reshape(2, 2, 8, 3, 4)[:, :, :4].abs().max() == 0


def test_a_center_on_the_border_belongs_to_the_last_cell_and_a_width_of_0_is_not_learned():
    head = RegionHead(anchors=ANCHORS, classes=3, softmax=True)
    found, delta = deltas(
        head,
        replace(SETTINGS, bias_match=True),
        torch.zeros(1, 16, 3, 4),
        one_target(1, 1.0, 1.0, 0.0, 0.2),
    )
    by_cell = delta.reshape(2, 8, 3, 4)
    assert by_cell[:, 5:].abs().sum(dim=(0, 1)).nonzero().tolist() == [[2, 3]]
    assert by_cell.isfinite().all()
    assert by_cell[0, 2, 2, 3] == 0
    assert by_cell[0, 3, 2, 3] != 0
    assert found.ious.tolist() == [0]


def test_labels_go_by_the_map_and_those_beyond_it_are_left_out(tmp_path):
    (tmp_path / "a.tree").write_text(TREE)
    channels = 2 * (5 + CLASSES)
    text = f"[net]\nheight=3\nwidth=4\nchannels={channels}\n[activation]\nactivation=linear\n[region]\n"
    text += f"anchors=0.9,1.1,1.7,2.3\nclasses={CLASSES}\nnum=2\nsoftmax=1\ntree={tmp_path}/a.tree\n"
    loss = DetectionLoss(
        network_of(text),
        "pjreddie",
        head_settings=[SETTINGS],
        class_map=torch.tensor([5, 4]),  # label 0 is a siamese, 1 a car
    )
    raw = torch.zeros(1, channels, 3, 4, requires_grad=True)
    loss([raw], one_target(0, 0.4, 0.4, 0.3, 0.3), LATE).total.backward()
    classes = -raw.grad.reshape(2, 5 + CLASSES, 3, 4)[:, 5:].sum(dim=(0, 2, 3))
    # every group on the way from siamese to its root has two classes of probability .5
    assert classes.tolist() == pytest.approx([0.65, -0.65, 0.65, -0.65, 0, 0.65, -0.65])
    assert loss([raw], one_target(2, 0.4, 0.4, 0.3, 0.3), LATE).assigned == 0


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [("3\n9418\n", 2, "'9418'"), ("1\ncat\n", 2, "'cat'"), ("-1\n", 1, "'-1'"), ("", 1, "''")],
)
def test_a_map_that_names_no_class_is_refused_with_its_line(text, line, found, tmp_path):
    path = tmp_path / "a.map"
    path.write_text(text)
    with pytest.raises(DatasetError) as error:
        read_class_map(path, 9418)
    assert str(error.value) == f"{path}:{line}: found {found}, expected a class from 0 to 9417"


def test_a_class_of_probability_0_has_a_gradient(tmp_path):
    head = head_of("tree", tmp_path)
    raw = torch.zeros(1, 2, 5 + CLASSES, 1, 1)
    raw[:, :, 5 + 5] = -200.0  # a siamese, of probability e^-200: 0 as a float
    found, delta = deltas(head, SETTINGS, raw.flatten(1, 2), one_target(5, 0.5, 0.5, 0.5, 0.5))
    assert found.classification.item() == pytest.approx(1.3 * (200 + 2 * math.log(2)))
    assert delta.view(2, -1)[:, 5 + 5].max() == pytest.approx(1.3)


def test_bfloat16_maps_are_computed_in_float32():
    head = RegionHead(anchors=ANCHORS, classes=3, softmax=True)
    raw = torch.randn(1, 16, 3, 4).bfloat16()
    options = LossOptions(DIALECTS["alexeyab"], LATE, "autograd")
    targets = one_target(1, 0.4, 0.4, 0.3, 0.3)
    half = region_terms(head, SETTINGS, options, raw, targets)
    full = region_terms(head, SETTINGS, options, raw.float(), targets)
    for name in ("box", "objectness", "classification"):
        torch.testing.assert_close(getattr(half, name), getattr(full, name), rtol=0, atol=0)


def test_detection_loss_divides_by_the_images_and_hands_seen_on():
    text = "[net]\nheight=3\nwidth=4\nchannels=16\n[activation]\nactivation=linear\n"
    text += "[region]\nanchors=0.9,1.1,1.7,2.3\nclasses=3\nnum=2\nsoftmax=1\nrescore=1\n"
    network = network_of(text)
    raw, targets = torch.randn(2, 16, 3, 4), one_target(1, 0.4, 0.4, 0.3, 0.3)
    loss = DetectionLoss(network, "pjreddie")
    for seen in (0, LATE):
        alone, _ = deltas(network.layers[1], network.head_settings[0], raw, targets, seen=seen)
        found = loss([raw], targets, seen)
        assert found.box.item() == pytest.approx(alone.box.item() / 2, rel=1e-6)
        total = (alone.box + alone.objectness + alone.classification).item()
        assert found.total.item() == pytest.approx(total / 2, rel=1e-6)
