"""yolo.evaluate.html.report_page: the parsed page, hostile names, little to show, a full disk."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.full_disk import full_beyond
from tests.helpers.report_pages import ABOUT, ROWS, ParsedPage, scene_of, without_detections, without_ground_truth
from tests.helpers.scoring_scenes import evaluation_of, found_of, ground_truth_of
from tests.helpers.tiny_data import FOUR_IMAGES
from yolo.evaluate.analysis.build_report import build_report
from yolo.evaluate.analysis.report import ReportRow
from yolo.evaluate.html.report_page import quoted_metrics, write_report

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onload='x' </style></script><!-- ]]> &amp; \u202e \x00 日本",
)


def written(folder, evaluation, paths, about=ABOUT, rows=ROWS):
    page = write_report(folder, build_report(evaluation, paths, about, rows))
    assert page == folder / "index.html"
    return ParsedPage(page.read_text(encoding="utf-8")), json.loads((folder / "report.json").read_text())


def test_the_page_shows_the_numbers_and_the_origin_of_the_run(four, tmp_path):
    page, report = written(tmp_path / "r", scene_of(FOUR_IMAGES), four.images)
    assert page.starts[0][0] == "html" and page.count("title") == page.count("h1") == 1
    for row in ROWS:
        assert row.metric in page.texts and row.conventions in page.texts
    assert "0.123457" in page.texts and "n/a" in page.texts
    for each in report["errors"]:
        assert f"{each['cured']:.4f}" in page.texts and f"{each['cost']:.4f}" in page.texts
        assert each["kind"] in page.texts
    for each in report["classes"]:
        assert f"{each['ap50']:.4f}" in page.texts and f"{each['ap']:.4f}" in page.texts
    for value in (ABOUT.command, ABOUT.cfg, ABOUT.weights, ABOUT.weights_sha256, ABOUT.date):
        assert value in page.texts
    assert "Python 3.11.2, torch 2.4.0" in page.texts
    assert page.count("image") == page.count("figure") == 4
    costs = [image["cost"] for image in report["pictures"]]
    assert f"costs {max(costs):.4f} AP50" in page.texts


def test_the_title_names_the_data_set(four, tmp_path):
    for name, shown in (("flowers", "flowers"), ("", Path(ABOUT.data).stem)):
        page, _ = written(tmp_path / shown, scene_of(FOUR_IMAGES), four.images, replace(ABOUT, data_name=name))
        assert f"{Path(ABOUT.weights).stem} on {shown}" in page.texts


def test_the_page_loads_nothing(four, tmp_path):
    page, _ = written(tmp_path / "r", scene_of(FOUR_IMAGES), four.images)
    links = page.values("href") + page.values("src") + page.values("xlink:href") + page.values("action")
    assert links and all(link.startswith("data:image/jpeg;base64,") for link in links)
    assert page.count("script") == page.count("style") == 1 and page.count("link") == 0
    text = (tmp_path / "r/index.html").read_text()
    assert not re.search(r"https?:|@import|url\(", text)
    policy = next(value for value in page.values("content") if "default-src 'none'" in value)
    digest = hashlib.sha256(page.script.encode()).digest()
    assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy


def test_hostile_names_stay_text(four, tmp_path):
    evaluation = replace(scene_of(FOUR_IMAGES), names=HOSTILE[:2], image_ids=(*HOSTILE, "d"))
    about = replace(ABOUT, command=HOSTILE[1], cfg=HOSTILE[0], weights=HOSTILE[2], data=HOSTILE[0],
                    versions=((HOSTILE[0], HOSTILE[1]),))  # fmt: skip
    rows = [replace(ROWS[0], metric=HOSTILE[0], conventions=HOSTILE[1])]
    paths = [f"gone/{HOSTILE[0]}.png", f"gone/{HOSTILE[1]}", "gone/\udcff\n.png", four.images[3]]
    page, report = written(tmp_path / "r", evaluation, paths, about, rows)
    plain, _ = written(tmp_path / "p", scene_of(FOUR_IMAGES), [*["gone"] * 3, four.images[3]],
                       rows=ROWS[:1])  # fmt: skip
    assert [tag for tag, _ in page.starts] == [tag for tag, _ in plain.starts]
    assert page.script == plain.script
    assert not [name for _, attributes in page.starts for name in attributes if name.startswith("on")]
    assert report["names"] == list(HOSTILE[:2]) and report["pictures"][2]["path"] == paths[2]
    assert HOSTILE[0] in page.texts and HOSTILE[1] in page.texts


def many(evaluation):
    """80 classes, most without a ground truth."""
    return replace(evaluation, names=tuple(f"class {number}" for number in range(80)))


def one(evaluation):
    """One class alone."""
    ground_truth, found = evaluation.ground_truth, evaluation.detections
    return replace(
        evaluation, names=("red",), ground_truth=replace(ground_truth, labels=ground_truth.labels * 0),
        detections=replace(found, labels=found.labels * 0),
    )  # fmt: skip


def none(evaluation):
    """Images, but no class, no ground truth and no detection."""
    return replace(evaluation, names=(), ground_truth=ground_truth_of([]), detections=found_of([]))


def empty(evaluation):
    """Nothing at all."""
    return evaluation_of(ground_truth_of([]), found_of([]), (), 0)


@pytest.mark.parametrize("changed", [many, one, none, empty, without_detections, without_ground_truth])
def test_the_page_is_complete_with_little_or_much_to_show(changed, four, tmp_path):
    evaluation = changed(scene_of(FOUR_IMAGES))
    paths = four.images[: len(evaluation.image_ids)]
    page, report = written(tmp_path / "r", evaluation, paths, rows=())
    assert "nan" not in re.sub(r"base64,[^\"]*", "", (tmp_path / "r/index.html").read_text())
    assert len(report["classes"]) == len(evaluation.names)
    for name in evaluation.names:
        assert name in page.texts
    if not len(evaluation.ground_truth.labels):
        assert "There is no labeled object, so there is no score." in page.texts
    assert ("Nothing is detected in any image, at any score." in page.texts) == (changed is without_detections)


def test_a_run_without_errors_has_a_headline_of_its_own(four, tmp_path):
    ground_truth = scene_of(FOUR_IMAGES).ground_truth
    perfect = evaluation_of(
        ground_truth, found_of([(p, c, 0.9, b) for p, c, b, _ in zip(*ground_truth.__dict__.values(), strict=True)]),
        ("red", "green"), 4, (48, 64),
    )  # fmt: skip
    page, _ = written(tmp_path / "r", perfect, four.images)
    assert "No kind of error has a noticeable cost." in page.texts
    assert "No image has an error at this score threshold." in page.texts


def test_the_headline_names_the_costliest_kind(four, tmp_path):
    page, report = written(tmp_path / "r", scene_of(FOUR_IMAGES), four.images)
    costs = {each["kind"]: each["cost"] for each in report["errors"][:6]}
    worst = max(costs, key=costs.get)
    assert any(text.startswith(f"Most costly error: {worst}") for text in page.texts)


def test_a_full_disk_leaves_no_page(four, tmp_path):
    evaluation, folder = scene_of(FOUR_IMAGES), tmp_path / "r"
    written(folder, evaluation, four.images)
    size = (folder / "report.json").stat().st_size
    for limit in (size - 1, size + 1):  # the numbers do not fit, or only they do
        with full_beyond(limit), pytest.raises(OSError):
            write_report(folder, build_report(evaluation, four.images, ABOUT, ROWS))
        assert [file.name for file in folder.iterdir()] == ["report.json"]


def rows_of(*names):
    return [ReportRow(name, 0.5, f"rule {name}") for name in names]


def test_quoted_metrics_come_first_and_no_other_is_lost():
    rows = rows_of("VOC07 mAP", "recall", "COCO AP", "COCO AR 1")
    assert quoted_metrics(rows) == (rows[::2], rows[1::2])
    assert quoted_metrics(rows[1::2]) == (rows[1::2], [])


def test_the_other_metrics_are_folded(four, tmp_path):
    rows = rows_of("VOC07 mAP", "recall", "COCO AP", "COCO AR 1")
    page, _ = written(tmp_path / "r", scene_of(FOUR_IMAGES), four.images, rows=rows)
    text = (tmp_path / "r/index.html").read_text()
    before, folded = text.split("<summary>2 more numbers and their conventions</summary>")
    assert "rule VOC07 mAP" in before and "rule recall" not in before
    assert {"rule recall", "rule COCO AR 1"} <= set(page.texts) and "rule recall" in folded
