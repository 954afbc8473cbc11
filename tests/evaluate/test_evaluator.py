"""yolo.evaluate.evaluator: detections joined with ground truth, and scores by hand."""

import numpy as np
import pytest

from tests.helpers.tiny_data import NAMES, cfg_text, network_of
from yolo.data.check import check_list
from yolo.data.images import read_image
from yolo.data.labeled_images import image_boxes
from yolo.detect.detector import Detector
from yolo.evaluate.evaluator import detections_of, evaluation_of, ground_truth_of_images
from yolo.evaluate.metrics.coco import coco_score
from yolo.evaluate.metrics.table import average_precisions
from yolo.evaluate.metrics.voc import detections_in_voc_pixels, mean_ap, voc_scores
from yolo.records import Evaluation, LabeledBoxes, ScoredBoxes


def checked(drawn, **how):
    return check_list(drawn.folder / "list.txt", classes=2, channels=3, **how).images


def evaluation_with(images, found, names=NAMES):
    """found: (image, class, score, xyxy) each."""
    columns = list(zip(*found, strict=True)) or [[], [], [], []]
    return Evaluation(
        names=names,
        image_ids=tuple(image.path.stem for image in images),
        sizes=np.array([image.size for image in images]),
        ground_truth=ground_truth_of_images(images),
        detections=ScoredBoxes(
            image_index=np.array(columns[0], np.int64),
            labels=np.array(columns[1], np.int64),
            scores=np.array(columns[2], np.float64),
            boxes=np.array(columns[3], np.float64).reshape(-1, 4),
        ),
    )


def all_detected(drawn):
    return [
        (index, label, 0.9, (x1, y1, x2, y2))
        for index, boxes in enumerate(drawn.boxes)
        for x1, y1, x2, y2, label in boxes
    ]


def test_labels_become_boxes_in_image_pixels():
    ground_truth = LabeledBoxes(np.array([0]), np.array([[0.5, 0.25, 0.5, 0.125]]))
    # by hand, in 64 wide and 48 high: x 16..48, y 9..15
    assert image_boxes(ground_truth, (48, 64)).tolist() == [[16, 9, 48, 15]]


def test_the_ground_truth_is_what_was_drawn(four):
    ground_truth = ground_truth_of_images(checked(four))
    assert ground_truth.image_index.tolist() == [0, 1, 1, 2, 3, 3]
    assert ground_truth.labels.tolist() == [0, 1, 0, 1, 1, 0]
    np.testing.assert_allclose(ground_truth.boxes[1], [30, 10, 54, 30])
    assert not ground_truth.difficult.any()


def test_detecting_everything_is_a_map_of_one(four):
    evaluation = evaluation_with(checked(four), all_detected(four))
    for metric in ("voc07", "area"):
        assert average_precisions(voc_scores(evaluation), metric) == pytest.approx([1.0, 1.0])
    assert coco_score(evaluation).ap == pytest.approx(1.0)


def test_average_precisions_by_hand(four):
    """red, three ground truths: TP, FP, TP by descending score. Precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3."""
    found = [
        (0, 0, 0.9, (8, 8, 24, 24)),
        (2, 0, 0.8, (8, 8, 24, 24)),  # nothing is there
        (1, 0, 0.7, (4, 30, 18, 44)),
        (1, 0, 0.6, (4, 30, 18, 43)),  # found already: false
    ]
    evaluation = evaluation_with(checked(four), found)
    red, green = voc_scores(evaluation)
    # 11 points: recalls 0 .. 0.3 see 1, 0.4 .. 0.6 see 2/3, the others 0
    assert red.voc07_ap == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)
    assert red.area_ap == pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)
    assert green.voc07_ap == 0
    assert mean_ap(average_precisions((red, green), "voc07")) == pytest.approx(6 / 22)


def test_difficult_boxes_do_not_count(four):
    """The second box of image 1 is difficult: neither its detection nor its absence counts."""
    labels = four.folder / "labels" / "p1.txt"
    green, red = labels.read_text().splitlines(keepends=True)
    labels.write_text(green)
    aside = four.folder / "difficult"
    (aside / "labels").mkdir(parents=True)
    (aside / "labels" / "p1.txt").write_text(red)
    listed = four.folder / "difficult.txt"
    listed.write_text("".join(f"{aside}/images/p{index}.png\n" for index in range(4)))
    images = checked(four, difficult=listed)
    without = [row for row in all_detected(four) if row[:2] != (1, 0)]
    with_it = [(1, 0, 0.99, (4, 30, 18, 44)), *without]
    for found, counted in ((without, 2), (with_it, 3)):
        score = voc_scores(evaluation_with(images, found))[0]
        assert score.match.ground_truths == 2
        assert score.match.detections == counted and len(score.match.scores) == 2
        assert score.voc07_ap == pytest.approx(1.0)


def test_boxes_are_matched_in_vocs_pixels(four):
    """By hand: 9..25 and 9..17 with the last pixel inside are 17 and 9 wide, IoU 9/17; without it 8/16, an FP."""
    evaluation = evaluation_with(checked(four), [(0, 0, 0.9, (8, 8, 16, 24))])
    assert voc_scores(evaluation)[0].match.true_positive.tolist() == [True]
    assert voc_scores(evaluation, iou_thresh=0.53)[0].match.true_positive.tolist() == [False]


def test_a_class_without_ground_truth_has_no_number(four):
    scores = voc_scores(evaluation_with(checked(four), all_detected(four), names=("red", "green", "blue")))
    assert scores[2].voc07_ap is None
    assert mean_ap(average_precisions(scores, "voc07")) == pytest.approx(1.0)


def test_no_detections_give_zero(four):
    evaluation = evaluation_with(checked(four), [])
    assert [score.voc07_ap for score in voc_scores(evaluation)] == [0, 0]
    assert coco_score(evaluation).ap == 0


def test_detections_are_written_as_darknet_writes_them(four):
    evaluation = evaluation_with(checked(four), [(0, 0, 0.5, (-3.0, 5.0, 70.0, 20.0))])
    # by hand: moved by 1, kept inside 1..64 and 1..48
    assert detections_in_voc_pixels(evaluation).boxes.tolist() == [[1, 6, 64, 21]]


@pytest.mark.parametrize("letterbox", [False, True])
def test_batches_give_the_detections_of_single_images(four, letterbox):
    """An untrained network, any threshold that keeps some boxes; the images, loaders and placements are real."""
    detector = Detector(network_of(cfg_text()), NAMES, score_thresh=0.2, letterbox=letterbox)
    images = checked(four)
    evaluation = evaluation_of(NAMES, images, detections_of(detector, images, batch=3, workers=0))
    assert evaluation.image_ids == ("p0", "p1", "p2", "p3")
    assert evaluation.sizes.tolist() == [[48, 64]] * 4
    alone = [detector(read_image(path)) for path in four.images]
    counts = [len(each) for each in alone]
    assert sum(counts) > 4
    found = evaluation.detections
    assert found.image_index.tolist() == np.repeat(np.arange(4), counts).tolist()
    assert found.labels.tolist() == [label for each in alone for label in each.labels.tolist()]
    np.testing.assert_allclose(found.scores, np.concatenate([each.scores for each in alone]), atol=1e-6)
    np.testing.assert_allclose(found.boxes, np.concatenate([each.boxes for each in alone]), atol=1e-3)
    assert found.boxes.dtype == np.float64


def test_a_process_without_an_image_has_no_detections():
    detector = Detector(network_of(cfg_text()), NAMES)
    assert detections_of(detector, [], batch=3, workers=0) == []
