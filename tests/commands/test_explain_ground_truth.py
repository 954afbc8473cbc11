"""explain with labels: the section of the ground truth, from a label file beside the image or the lists of a .data."""

import json
import re
import shutil

import pytest

from tests.helpers.tiny_data import cfg_text, network_of
from yolo.model.weights import save_weights
from yolo.train.losses.detection import DetectionLoss


@pytest.fixture
def call(load_tool, call_tool, case):
    """call(image, ...) → exit code, stdout, stderr of explain."""
    fixed = ("--cfg", "tiny.cfg", "--weights", "tiny.weights", "--names", "four/tiny.names", "--device", "cpu",
             "--report", "out", "--detections", 0, "--thresh", 0.01)  # fmt: skip
    tool = load_tool("explain")
    return lambda *arguments: call_tool(tool, *arguments, *fixed)


def read(tmp_path):
    page = (tmp_path / "out" / "index.html").read_text()
    (image,) = json.loads((tmp_path / "out" / "explain.json").read_text())["images"]
    return page, image.get("ground_truth")


def test_the_labels_beside_an_image_are_compared(call, tmp_path, four):
    code, _, err = call(four.images[1])
    assert code == 0, err
    page, found = read(tmp_path)
    assert "Against the ground truth" in page and "green 1" in page and "red 2" in page
    detected = sum(each["fate"] == "detected" for each in found["objects"])
    assert f">{detected}</span></b><span>of 2 labeled objects detected</span>" in page
    assert found["total"] == pytest.approx(sum(found["parts"].values()))
    assert found["total"] == pytest.approx(sum(each["total"] for each in found["objects"]) + found["of_no_object"])
    assert found["total"] == pytest.approx(sum(head["total"] for head in found["heads"]))
    (best,) = (cell["anchor"] for cell in found["objects"][0]["cells"])
    assert best == 1 and found["objects"][1]["cells"][0]["anchor"] == 0  # 24x20 and 14x14 with 12x12, 24x20
    assert re.search(r">1: 24 × 20 px</td><td [^>]*>1.00</td><td [^>]*>responsible: the most similar</td>", page)


def test_the_labels_of_an_image_are_found_through_its_data_file(call, tmp_path, four):
    """A list names a link to the image, with labels elsewhere; another image is in no list."""
    away = tmp_path / "away.png"
    shutil.copy(four.images[0], away)
    place = tmp_path / "linked" / "images"
    place.mkdir(parents=True)
    (place / "away.png").symlink_to(away)
    (place.parent / "labels").mkdir()
    (place.parent / "labels" / "away.txt").write_text("1 0.5 0.5 0.25 0.25\n")
    (tmp_path / "list.txt").write_text(f"{place}/away.png\n")
    (tmp_path / "x.data").write_text("classes=2\ntrain=list.txt\nnames=four/tiny.names\n")
    code, _, err = call(away)
    assert (code, err) == (0, "") and read(tmp_path)[1] is None  # no label file
    code, _, err = call(four.images[0], away, "--data", "four/tiny.data")
    assert code == 0 and err.endswith("away.png: found in no list of four/tiny.data and without a label file: "
                                      "not compared\n")  # fmt: skip
    assert call(away, "--data", "x.data")[0] == 0
    _, found = read(tmp_path)
    assert [each["name"] for each in found["objects"]] == ["green"]
    (place.parent / "labels" / "away.txt").unlink()  # as in training, an image without a label file has no object
    assert call(away, "--data", "x.data")[0] == 0
    page, found = read(tmp_path)
    assert found["objects"] == [] and found["total"] == pytest.approx(found["parts"]["objectness_background"])
    assert "no labeled object" in page
    code, _, err = call(away, "--data", "gone.data")
    assert code == 2 and err.startswith("error: gone.data: No such file")


def test_rows_that_cannot_be_used_are_named(call, tmp_path, four, caplog):
    labels = four.folder / "labels" / "p1.txt"
    labels.write_text(labels.read_text() + "7 .5 .5 .2 .2\n")
    assert call(four.images[1])[0] == 0
    assert re.search(r"p1.txt:3: found class 7, expected 0 to 1; this row is left out$", caplog.text.strip())
    assert len(read(tmp_path)[1]["objects"]) == 2


def test_a_loss_that_is_not_finite_is_null(call, tmp_path, four):
    import torch

    network = network_of(cfg_text(), seed=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1e6)
    save_weights(network, tmp_path / "tiny.weights")
    code, _, err = call(four.images[1])
    assert (code, err) == (0, "")
    page, found = read(tmp_path)
    assert found["total"] is None and "Against the ground truth" in page


def test_the_total_is_the_training_loss(call, tmp_path, four):
    import torch

    from yolo.data.images import ignore_remark, read_image
    from yolo.explain.loss.placed import placed_targets
    from yolo.formats.label_files import labeled_boxes, read_rows
    from yolo.letterbox import place, stretched

    assert call(four.images[3])[0] == 0
    network = network_of(cfg_text(), seed=1).eval()
    pixels = read_image(four.images[3], 3, ignore_remark)
    placement = stretched(pixels.shape[:2], (48, 64))
    labels = labeled_boxes(read_rows(four.folder / "labels" / "p3.txt", 2)[0])
    with torch.no_grad():
        losses = DetectionLoss(network)(
            network(place(pixels, placement)[None]), placed_targets([labels], [placement]), 80
        )
    assert read(tmp_path)[1]["total"] == pytest.approx(losses.total.item(), rel=1e-5)
