"""The terms of the losses: they add up to the total, belong to their cells, and are those computed by hand."""

import math

import numpy as np
import pytest
import torch

from tests.helpers.golden import network_of, read_json, targets_of
from tests.helpers.tiny_heads import HEADS, TREE, TREE_HEAD
from yolo.train.losses.detection import DetectionLoss
from yolo.train.losses.head_loss import summed

LN2 = math.log(2)
KEYS = "iou_thresh=0.3\ndelta_normalizer=0.5\nignore_thresh=.2\n"  # one object, several anchors; several cells ignored
VARIANTS = {
    **HEADS,
    "ciou": HEADS["yolo"] + "iou_loss=ciou\n" + KEYS,
    "smooth": HEADS["yolo"] + "objectness_smooth=1\nfocal_loss=1\n" + KEYS,
    "gaussian_giou": HEADS["gaussian"] + "iou_loss=giou\nuc_normalizer=0.3\n",
    "classfix": HEADS["region"] + "classfix=2\nrescore=1\n",
    "v1_softmax": HEADS["detection"] + "softmax=1\nrescore=1\n",
    "tree": TREE_HEAD,
}
# the first two share a cell, the third has a class that no head has, the fourth image has no object
ROWS = [
    (0, 1, 0.3, 0.3, 0.3, 0.4),
    (0, 0, 0.31, 0.3, 0.25, 0.5),
    (0, 9, 0.6, 0.6, 0.3, 0.3),
    (1, 0, 0.8, 0.7, 0.5, 0.6),
    (2, 1, 0.1, 0.9, 0.1, 0.15),
]
IMAGES = 4


def scene(name, tmp_path, seed=0):
    """(network, raw maps with gradient) for IMAGES images."""
    (tmp_path / "tree.txt").write_text(TREE)
    network = network_of(VARIANTS[name].format(tmp_path / "tree.txt"))
    torch.manual_seed(seed)
    raw = []
    for head in network.heads:
        values = torch.randn(IMAGES, *network.shapes[network.sources[head][0]])
        raw.append((torch.sigmoid(values) if name == "new_coords" else values).requires_grad_())
    return network, raw


@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie"])
@pytest.mark.parametrize("name", VARIANTS)
def test_the_terms_of_every_kind_of_head_add_up_to_the_total(name, dialect, tmp_path):
    network, raw = scene(name, tmp_path)
    targets = targets_of(ROWS)
    for seen in (0, 10**6):  # [region] and [detection] begin with another loss
        torch.manual_seed(1)
        losses = DetectionLoss(network, dialect)(raw, targets, seen)
        torch.manual_seed(1)
        heads = DetectionLoss(network, dialect).terms(raw, targets, seen)
        parts = [(each.box, each.priors, each.objectness, each.classification) for each in heads]
        total = sum(part.sum().item() for head in parts for part in head)
        assert total == pytest.approx(losses.total.item() * IMAGES, rel=1e-5) and total > 1
        for each in heads:
            cells = math.prod(each.shape)
            assert each.objectness.shape == each.ignored.shape == (cells,)
            torch.testing.assert_close(each.box_parts.sum(dim=1), each.box.detach())
            assert each.box_parts.shape[1] == len(each.box_names)
            assert set(each.positive.tolist()) == set(each.cell_index.tolist())
            assert len(each.positive) == len(set(each.positive.tolist()))
            # a cell is one of the image of its object, and target 2 has a class that the heads do not have
            assert torch.equal(each.cell_index // (cells // IMAGES), targets.image_index[each.target_index])
            assert 2 not in each.target_index and not (each.best_target == 2).any()
            background = each.objectness.detach().sum() - each.objectness.detach()[each.positive].sum()
            part = summed(each)
            assert (part.objectness - part.objectness_object).item() == pytest.approx(background.item(), abs=1e-4)
        scalars = losses.scalars()
        parts = scalars["loss/objectness_object"] + scalars["loss/objectness_background"]
        assert float(parts) == pytest.approx(float(scalars["loss/objectness"]), rel=1e-6)


@pytest.mark.parametrize("name", ["yolo", "gaussian", "region", "detection"])
def test_the_term_of_a_cell_depends_on_the_raw_values_of_this_cell(name, tmp_path):
    network, raw = scene(name, tmp_path)
    (head,) = DetectionLoss(network).terms(raw, targets_of(ROWS), 10**6)
    _, anchors, height, width = head.shape
    layer = network.layers[network.heads[0]]
    for cell in (0, 3, len(head.objectness) - 1):
        (gradient,) = torch.autograd.grad(head.objectness[cell], raw[0], retain_graph=True)
        found = layer.split(gradient)
        by_cell = found[1].permute(0, 3, 1, 2) if name == "detection" else found.abs().sum(dim=-1)
        assert torch.nonzero(by_cell.flatten()).flatten().tolist() == [cell], (anchors, height, width)


def test_the_terms_of_recorded_cases_have_darknets_deltas(shared):
    """The objectness gradient, cell by cell, is the recorded one."""
    for name in ("alexeyab_default", "pjreddie_masked", "yolov3_ignore_05"):
        case = read_json(shared / f"darknet_golden/loss/{name}.json")
        arrays = np.load(shared / f"darknet_golden/loss/{name}.npz")
        network = network_of(case["cfg"])
        raw = torch.from_numpy(arrays["logits"]).requires_grad_()
        dialect = "pjreddie" if name.startswith("pjreddie") else "alexeyab"
        (head,) = DetectionLoss(network, dialect).terms([raw], targets_of(arrays["truths"]))
        head.objectness.sum().backward()
        delta = network.layers[1].split(torch.from_numpy(arrays["delta"]).reshape(raw.shape))[..., 4].flatten()
        found = -network.layers[1].split(raw.grad)[..., 4].flatten()
        assert (found - delta).abs().max() < 1e-5
        is_trained = torch.nonzero(head.objectness.detach())[:, 0]
        assert torch.equal(is_trained, torch.nonzero(delta)[:, 0])


# ------------------------------------------------------------------------------------------------------ by hand

TWO_CELLS = (
    "[net]\nwidth=32\nheight=16\nchannels=7\n[maxpool]\nsize=1\nstride=16\n[yolo]\nclasses=2\nnum=1\nanchors=8,8\n"
)


def test_two_cells_by_hand():
    """All raw values are 0: each σ is 1/2, and the box of a cell is its anchor in the middle of it."""
    network = network_of(TWO_CELLS)
    raw = [torch.zeros(1, 7, 1, 2)]
    (head,) = DetectionLoss(network).terms(raw, targets_of([(0, 1, 0.25, 0.5, 0.25, 0.5)]))
    small = 0.75 * (2 - 0.25 * 0.5)  # iou_normalizer times 2 - w·h
    assert head.box_names == ("x", "y", "w", "h")
    np.testing.assert_allclose(head.box_parts.numpy(), [[small * LN2, small * LN2, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(head.objectness.numpy(), [LN2, LN2], rtol=1e-6)
    np.testing.assert_allclose(head.classification.numpy(), [2 * LN2], rtol=1e-6)
    assert head.cell_index.tolist() == head.positive.tolist() == [0]
    np.testing.assert_allclose(head.best_iou.numpy(), [1, 0], atol=1e-6)


def test_of_two_objects_in_a_cell_pjreddies_last_box_counts_and_alexeyabs_both():
    network = network_of(TWO_CELLS)
    raw = [torch.zeros(1, 7, 1, 2)]
    rows = [(0, 1, 0.25, 0.5, 0.25, 0.5), (0, 0, 0.25, 0.5, 0.25, 0.25)]
    small = torch.tensor([0.75 * (2 - 0.125), 0.75 * (2 - 0.0625)])
    expected = small * (2 * LN2 + torch.tensor([0.0, LN2**2 / 2]))  # h is half the anchor's: ½ (0 - ln ½)²
    (both,) = DetectionLoss(network).terms(raw, targets_of(rows))
    torch.testing.assert_close(both.box, expected)
    assert both.cell_index.tolist() == [0, 0] and both.positive.tolist() == [0]
    (last,) = DetectionLoss(network, "pjreddie").terms(raw, targets_of(rows))
    torch.testing.assert_close(last.box, expected / 0.75 * torch.tensor([0.0, 1.0]))
