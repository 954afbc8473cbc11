"""yolo.model.class_tree: a small hierarchy by hand, against loops, and against what compiled Darknet made of it.

golden/tree.npz: `probs` are group softmaxes of random numbers, one row an image; pjreddie's Darknet (2018-09-14, CPU
build) computed `products` by hierarchy_predictions, and by hierarchy_top_prediction, for each of `thresholds`, `chosen`
from the probs and `chosen_twice` from the products, as its region layer does.
"""

import math

import numpy as np
import pytest
import torch

from tests.conftest import PROJECT
from yolo.errors import DatasetError
from yolo.model.building import find_file
from yolo.model.class_tree import best_class, group_softmax, path_probabilities, read_tree

LINES = """\
animal -1
vehicle -1
dog 0
cat 0
bird 0
car 1
bus 1
poodle 2
terrier 2
toy_poodle 7
large_poodle 7
kitten 3
"""
GROUPS = [[0, 1], [2, 3, 4], [5, 6], [7, 8], [9, 10], [11]]
ANCESTORS = [[], [], [0], [0], [0], [1], [1], [2, 0], [2, 0], [7, 2, 0], [7, 2, 0], [3, 0]]


@pytest.fixture
def tree(tmp_path):
    path = tmp_path / "small.tree"
    path.write_text(LINES)
    return read_tree(path)


def golden():
    return np.load(PROJECT / "tests" / "golden" / "tree.npz")


def slow_softmax(values):
    """By the definition, group by group."""
    result = [0.0] * len(values)
    for group in GROUPS:
        total = sum(math.exp(values[each]) for each in group)
        for each in group:
            result[each] = math.exp(values[each]) / total
    return result


def test_a_tree_has_its_groups_parents_children_and_leaves(tree):
    assert tree.names[2] == "dog" and len(tree.names) == 12 and tree.levels == 4
    assert tree.parent.tolist() == [-1, -1, 0, 0, 0, 1, 1, 2, 2, 7, 7, 3]
    assert tree.group.tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert tree.child.tolist() == [1, 2, 3, 5, -1, -1, -1, 4, -1, -1, -1, -1]
    assert tree.groups == len(GROUPS)
    leaves = ["bird", "car", "bus", "terrier", "toy_poodle", "large_poodle", "kitten"]
    assert [name for name, leaf in zip(tree.names, tree.leaf, strict=True) if leaf] == leaves


def test_whitespace_carriage_returns_and_empty_lines_at_the_end_are_ignored(tmp_path):
    path = tmp_path / "small.tree"
    path.write_bytes(b"\xef\xbb\xbfa -1\r\n  b\t0 \r\n\r\n \n")
    assert read_tree(path).names == ("a", "b")
    assert read_tree(path).parent.tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "", "found no line, expected one per class: name parent"),
        (" \n\n", "", "found no line, expected one per class: name parent"),
        ("a -1\nb\n", ":2", "found 'b', expected name parent"),
        ("a -1\n\nb 0\n", ":2", "found '', expected name parent"),
        ("a -1\nb 0 7\n", ":2", "found 'b 0 7', expected name parent"),
        ("a -1\nb 0.5\n", ":2", "found 'b 0.5', expected name parent"),
        ("a -1\nb ²\n", ":2", "found 'b ²', expected name parent"),
        ("a -1\nb " + "9" * 5000, ":2", "found 'b " + "9" * 58 + "…', expected name parent"),
        ("a 0\n", ":1", "found parent 0, expected -1, a root"),
        ("a -1\nb 1\n", ":2", "found parent 1, expected a line before, 0 to 0, or -1"),
        ("a -1\nb -2\n", ":2", "found parent -2, expected a line before, 0 to 0, or -1"),
        (
            "a -1\nb 0\nc 1\nd 0\n",
            ":4",
            "found a child of 0 that does not follow its siblings, expected siblings together",
        ),
        (
            "a -1\nb 0\nc -1\n",
            ":3",
            "found a child of -1 that does not follow its siblings, expected siblings together",
        ),
    ],
)
def test_a_malformed_tree_is_named_with_its_line(tmp_path, text, place, message):
    path = tmp_path / "bad.tree"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        read_tree(path)
    assert str(caught.value) == f"{path}{place}: {message}"


def test_a_group_softmax_adds_up_to_one_in_each_group_and_is_the_loop(tree):
    logits = torch.randn(2, 3, 12) * 4
    found = group_softmax(logits, tree)
    assert found.shape == (2, 3, 12)
    for image, place in np.ndindex(2, 3):
        expected = slow_softmax(logits[image, place].tolist())
        assert found[image, place].tolist() == pytest.approx(expected, rel=1e-5)
    assert found[..., 11].tolist() == [[1.0] * 3] * 2  # an only child


def test_a_group_softmax_stays_finite_with_large_numbers(tree):
    logits = torch.randn(5, 12)
    found = group_softmax(logits + 1000, tree)
    assert torch.allclose(found, group_softmax(logits, tree), atol=1e-4)  # 1000.x has five digits less


def test_a_group_softmax_does_not_overflow(tree):
    logits = torch.tensor([500.0, -500] * 6)
    found = group_softmax(logits, tree).tolist()
    assert found[:5] == [1, 0, 0.5, 0, 0.5]


def test_a_group_softmax_for_an_exporter_is_the_same(tmp_path, monkeypatch):
    """Groups of 1 to 9 classes; some of their largest values are first, some last, some far apart."""
    sizes = [3, 1, 9, 2, 8, 5, 4, 7]
    parents = [parent for parent, size in zip(range(-1, len(sizes)), sizes, strict=False) for _ in range(size)]
    (tmp_path / "a.tree").write_text("".join(f"n{index} {parent}\n" for index, parent in enumerate(parents)))
    tree = read_tree(tmp_path / "a.tree")
    logits = torch.randn(4, 2, len(parents)) * torch.tensor([1.0, 5, 50, 500]).reshape(4, 1, 1)
    expected = group_softmax(logits, tree)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    torch.testing.assert_close(group_softmax(logits, tree), expected, rtol=1e-6, atol=0)


def test_a_group_softmax_has_the_softmaxs_gradient(tree):
    logits = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: group_softmax(values, tree), logits)


def test_a_path_probability_is_the_product_with_all_ancestors(tree):
    probs = torch.rand(2, 3, 12)
    found = path_probabilities(probs, tree)
    for index, ancestors in enumerate(ANCESTORS):
        expected = probs[..., index].clone()
        for ancestor in ancestors:
            expected *= probs[..., ancestor]
        assert torch.allclose(found[..., index], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("levels", range(1, 10))
def test_the_path_probability_of_a_chain_of_any_length(tmp_path, levels):
    path = tmp_path / "chain.tree"
    path.write_text("".join(f"class {index - 1}\n" for index in range(levels)))
    chain = read_tree(path)
    found = path_probabilities(torch.full((2, levels), 0.5), chain)
    assert chain.levels == levels
    assert found.tolist() == [[0.5 ** (index + 1) for index in range(levels)]] * 2


@pytest.mark.parametrize(
    ("changes", "threshold", "expected"),
    [
        ({"animal": 0.9, "dog": 0.8, "poodle": 0.9, "toy_poodle": 1.0}, 0.5, "toy_poodle"),
        ({"animal": 0.9, "dog": 0.8, "poodle": 0.6}, 0.5, "dog"),  # .9 * .8 * .6 = .432
        ({"animal": 0.9, "dog": 0.5}, 0.5, "animal"),
        ({"animal": 0.4, "dog": 1.0}, 0.5, "animal"),  # the best root in any case
        ({"vehicle": 0.5, "bus": 1.0}, 0.5, "vehicle"),  # equal is not above
        ({"vehicle": 0.75, "bus": 0.75}, 0.5, "bus"),
        ({"animal": 1.0, "dog": 0.5, "cat": 0.5, "kitten": 1.0}, 0.3, "dog"),  # the first of equals
        ({}, 0.5, "animal"),
    ],
)
def test_the_best_class_is_as_far_down_as_the_product_allows(tree, changes, threshold, expected):
    probs = torch.zeros(12)
    for name, value in changes.items():
        probs[tree.names.index(name)] = value
    assert tree.names[best_class(probs, tree, threshold)] == expected


def test_products_and_choices_are_compiled_darknets(tree):
    recorded = golden()
    probs = torch.from_numpy(recorded["probs"])
    products = path_probabilities(probs, tree)
    assert torch.allclose(products, torch.from_numpy(recorded["products"]), rtol=1e-6, atol=0)
    for row, threshold in enumerate(recorded["thresholds"].tolist()):
        found = best_class(probs, tree, threshold)
        assert found.tolist() == recorded["chosen"][row].tolist()
        twice = best_class(products, tree, threshold)
        assert twice.tolist() == recorded["chosen_twice"][row].tolist()


def test_the_best_class_of_many_boxes_is_that_of_each(tree):
    probs = torch.from_numpy(golden()["probs"])
    expected = best_class(probs, tree, 0.3)
    assert best_class(probs.reshape(4, -1, 12), tree, 0.3).flatten().tolist() == expected.tolist()


def test_a_file_that_a_cfg_names_is_first_the_whole_path_of_darknets_folder(tmp_path):
    for name in ("cfg/9k.tree", "data/9k.tree"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_file(tmp_path / "cfg/my.cfg", "data/9k.tree")[0] == tmp_path / "data/9k.tree"
    (tmp_path / "data/9k.tree").unlink()
    assert find_file(tmp_path / "cfg/my.cfg", "data/9k.tree")[0] == tmp_path / "cfg/9k.tree"
