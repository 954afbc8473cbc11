"""The page of an average precision: what it says, its files, its images, long lists, and hostile names."""

import csv
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.box_rows import FAR, SQUARE, detections_of, ground_truth_of
from tests.helpers.detection_files import voc_annotation
from tests.helpers.report_pages import ParsedPage
from tests.helpers.scoring_scenes import evaluation_of
from tests.helpers.tiny_data import FOUR_IMAGES, write_image
from yolo.evaluate.pairing import Sources, read_pair
from yolo.explain.score.page import explain_score
from yolo.explain.score.rows import table_places
from yolo.explain.score.scored_set import scored_evaluation, scored_pair
from yolo.explain.score.walked_score import class_number, walked_score
from yolo.formats.recognition import DetectionFormat, GroundTruthFormat

HOSTILE = "</title><script>document.title='taken'</script>"


@pytest.fixture
def case(tmp_path, monkeypatch):
    """Two cats, one detected, one missed, and a dog that is taken for a cat; VOC files with an image."""
    for folder in ("Annotations", "results", "JPEGImages"):
        (tmp_path / folder).mkdir()
    (tmp_path / "Annotations/a.xml").write_text(voc_annotation(("cat", 1, 1, 10, 10), size=(48, 64)))
    objects = ("cat", 1, 1, 10, 10), ("dog", 20, 20, 29, 29)
    (tmp_path / "Annotations/b.xml").write_text(voc_annotation(*objects, size=(48, 64)))
    (tmp_path / "test.txt").write_text("a\nb\n")
    (tmp_path / "results/comp4_det_test_cat.txt").write_text("a 0.9 1 1 10 10\nb 0.8 20 20 29 29\n")
    (tmp_path / "results/comp4_det_test_dog.txt").write_text("")
    write_image(tmp_path / "JPEGImages/b.png", np.full((48, 64, 3), 90, np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


FILES = ("--annotations", "Annotations", "--imageset", "test.txt")


@pytest.mark.parametrize("tool", ["score", "score_voc"])
def test_a_class_of_files_is_explained(case, call_tool, load_tool, tool):
    options = ("results", *FILES) if tool == "score_voc" else ("--truth", *FILES[1:], "--detections", "results")
    code, out, err = call_tool(load_tool(tool), *options, "--explain", "cat", "--report", "ap")
    assert (code, err) == (0, "") and out.splitlines()[-1] == "explained: ap/index.html"
    page = ParsedPage((case / "ap/index.html").read_text())
    # by hand: one of two found, then a false positive
    assert "it overlaps no cat at all; it overlaps a dog (IoU 1.00): the wrong class" in page.texts
    assert "The curve is cut off: 50.0% of recall is unseen." in page.text
    assert page.count("image") == 1  # of image b, a is not there
    numbers = json.loads((case / "ap/ap.json").read_text())
    assert [each["own"] for each in numbers["readings"][:2]] == [pytest.approx(6 / 11), 0.5]
    assert numbers["missed"] == {"untouched": 1, "near": 0, "lost": 0}
    rows = list(csv.DictReader((case / "ap/detections.csv").read_text().splitlines()))
    assert [(row["image"], row["verdict"], row["precision"]) for row in rows] == [
        ("a", "true positive", "1.0"),
        ("b", "no object there", "0.5"),
    ]


def test_wrong_options_are_one_line(case, call_tool, load_tool):
    def error(*options):
        code, _, err = call_tool(load_tool("score_voc"), "results", *FILES, *options)
        assert code == 2
        return err.splitlines()[-1]

    assert "expected --explain and --report together" in error("--explain", "cat")
    assert "found the class 'cow', expected one of cat, dog" in error("--explain", "cow", "--report", "ap")
    assert not (case / "ap").exists()
    (case / "other").mkdir()
    (case / "other/index.html").write_text("mine")
    assert "found a page without ap.json" in error("--explain", "cat", "--report", "other")
    assert (case / "other/index.html").read_text() == "mine"
    assert "--images nowhere: expected a folder" in error("--explain", "cat", "--report", "ap", "--images", "nowhere")


def test_an_evaluation_is_explained_beside_its_report(four, tmp_path, call_tool, load_tool):
    from tests.helpers.tiny_data import cfg_text, network_of
    from yolo.model.weights import save_weights

    (tmp_path / "tiny.cfg").write_text(cfg_text())
    save_weights(network_of(cfg_text(), seed=1), tmp_path / "tiny.weights")
    options = ("--cfg", tmp_path / "tiny.cfg", "--weights", tmp_path / "tiny.weights", "--data", four.data)
    more = ("--device", "cpu", "--workers", 0, "--report", tmp_path / "r", "--explain", "green")
    code, out, _ = call_tool(load_tool("evaluate"), *options, *more)
    assert code == 0 and f"explained: {tmp_path / 'r/ap/index.html'}" in out
    links = [(tmp_path / "r", "ap/index.html"), (tmp_path / "r/ap", "../index.html")]  # each page leads to the other
    for folder, address in links:
        assert address in ParsedPage((folder / "index.html").read_text()).values("href")
    classes = {each["name"]: each for each in json.loads((tmp_path / "r/ap/ap.json").read_text())["classes"]}
    drawn = sum(box[-1] == 1 for boxes in FOUR_IMAGES for box in boxes)
    assert classes["green"]["ground_truths"] == drawn
    code, _, err = call_tool(load_tool("evaluate"), *options, "--explain", "green")
    assert code == 2 and "found --explain without --report" in err


def test_a_class_without_objects_or_detections_has_a_page(tmp_path):
    for name, ground_truth, found in (
        ("both", ground_truth_of(), detections_of()),
        ("truth", ground_truth_of(), detections_of((0, 0, 0.5, FAR))),
        ("found", ground_truth_of((0, 0, SQUARE, False)), detections_of()),
    ):
        evaluation = evaluation_of(ground_truth, found)
        page = explain_score(tmp_path / name, scored_evaluation(evaluation, evaluation.image_ids), "ant", 0.5)
        assert ParsedPage(page.read_text()).text


def test_thousands_of_detections_stay_a_usable_page(tmp_path):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 400, (6_000, 2))
    columns = rng.integers(0, 3, 6_000).tolist(), rng.random(6_000).tolist(), corners
    rows = [(image, 0, score, (*at, *(at + 20))) for image, score, at in zip(*columns, strict=True)]
    ground_truth = ground_truth_of(*((index % 3, 0, rows[index][3], False) for index in range(400)))
    evaluation = evaluation_of(ground_truth, detections_of(*rows), size=(500, 500))
    page = explain_score(tmp_path / "ap", scored_evaluation(evaluation, evaluation.image_ids), "ant", 0.5)
    assert page.stat().st_size < 400_000
    assert len((tmp_path / "ap/detections.csv").read_text().splitlines()) == 6_001
    places = table_places(6_000)
    assert len(places) == 120 and places[59] == 59 and places[-1] == 5_999


def test_names_of_strangers_stay_text(tmp_path):
    evaluation = evaluation_of(ground_truth_of((0, 0, SQUARE, False)), detections_of((0, 0, 0.9, SQUARE)), (HOSTILE,))
    scored = scored_evaluation(evaluation, [Path(HOSTILE.replace("/", "")) for _ in evaluation.image_ids])
    page = ParsedPage(explain_score(tmp_path / "ap", scored, HOSTILE, 0.5).read_text())
    assert page.count("script") == 1 and any(HOSTILE in text for text in page.texts)


@pytest.mark.slow  # unpacks 9,963 XML files
def test_the_recorded_results_of_voc_eval(shared, tmp_path):
    for archive in ("voc_results/yolov2.tar.xz", "datasets/VOC2007_annotations.tar.xz"):
        with tarfile.open(shared / archive) as tar:
            tar.extractall(tmp_path, filter="data")
    sources = Sources(
        tmp_path / "VOC2007/Annotations", GroundTruthFormat.VOC, tmp_path / "yolov2", DetectionFormat.COMP4,
        tmp_path / "VOC2007/ImageSets/Main/test.txt",
    )  # fmt: skip
    expected = json.loads((shared / "voc_results/yolov2_expected.json").read_text())["voc07_11_point"]
    scored = scored_pair(read_pair(sources), sources.ground_truth, None)
    for name in ("dog", "person", "bottle"):
        score = walked_score(scored, class_number(name, scored.names), 0.5)
        assert round(score.readings[0].own, 4) == expected["AP"][name]
        assert np.mean([each.precision for each in score.points]) == pytest.approx(score.readings[0].own, abs=1e-12)
    assert round(score.mean_voc07, 6) == expected["mAP"]


def test_the_page_opens_without_a_message(tmp_path, opened):
    evaluation = evaluation_of(ground_truth_of((0, 0, SQUARE, False)), detections_of((0, 0, 0.9, SQUARE)), (HOSTILE,))
    scored = scored_evaluation(evaluation, evaluation.image_ids)
    page, console = opened(explain_score(tmp_path / "ap", scored, HOSTILE, 0.5))
    assert console == [] and dict(page.starts)["html"]["data-ready"] == "yes"
