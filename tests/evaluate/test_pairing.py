"""yolo.evaluate.pairing: every pair of formats is converted there and back; uncertain input is an error."""

import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.box_rows import ground_truth_of
from tests.helpers.detection_files import (
    COCO_IDS,
    SIZES,
    any_detections,
    detections_of,
    grouped,
    images_of,
    near_detections,
    some_ground_truth,
    voc_annotation,
)
from yolo.errors import DatasetError
from yolo.evaluate.pairing import Pair, Sources, read_pair, write_as
from yolo.formats.coco_annotations import write_coco_ground_truth
from yolo.formats.coco_results import read_coco_detections
from yolo.formats.coco_structures import ids_from_one
from yolo.formats.ground_truth_set import CocoIds, GroundTruthSet
from yolo.formats.recognition import FRACTION_FORMATS, DetectionFormat, GroundTruthFormat
from yolo.formats.voc_results import read_results, results_names
from yolo.records import VOC_ORIGIN

BILLIONTH = 1e-9 * SIZES.max()
RISING = CocoIds(COCO_IDS.images, (3, 18, 90))  # in the order of NAMES


def sources(ground_truth, detections, kind, **changed):
    given = Sources(ground_truth, GroundTruthFormat.COCO, detections, kind, None, None, None, None)
    return replace(given, **changed)


def converted(folder, ground_truth, detections, kind, target):
    """The detections written in another format, and read again: path and what is in it."""
    path = folder / f"{len([*folder.iterdir()])}-{target.value}"
    write_as(path, target, read_pair(sources(ground_truth, detections, kind, target=target)))
    return path, read_pair(sources(ground_truth, path, target, target=kind)).detections


@given(
    any_detections(largest=1e4),
    near_detections(),
    st.sampled_from(DetectionFormat),
    st.sampled_from(DetectionFormat),
)
@settings(max_examples=60, deadline=None)
def test_detections_are_converted_to_any_format_and_back(far, near, first, second):
    detections = near if {first, second} & {*FRACTION_FORMATS} else far
    voc = DetectionFormat.COMP4 in (first, second)
    origin = VOC_ORIGIN if voc else 0.0
    with tempfile.TemporaryDirectory() as name:
        folder, ground_truth = Path(name), Path(name) / "truth.json"
        write_coco_ground_truth(ground_truth, images_of(), RISING)
        given = Pair(images_of(origin=origin), detections, RISING, ())
        write_as(folder / "start", first, given)
        there, _ = converted(folder, ground_truth, folder / "start", first, second)
        _, back = converted(folder, ground_truth, there, second, first)
    found, expected = grouped(back), grouped(detections)
    assert np.array_equal(found[:, :3], expected[:, :3])
    if {first, second} & {*FRACTION_FORMATS}:
        assert np.abs(found[:, 3:] - expected[:, 3:]).max(initial=0) <= BILLIONTH
    elif not voc or first is DetectionFormat.COMP4:
        assert np.array_equal(found[:, 3:], expected[:, 3:])
    else:  # COCO's numbers from 0 as VOC's from 1: a float near 1 has fewer places than one near 0
        assert np.abs(found[:, 3:] - expected[:, 3:]).max(initial=0) <= 1e-12 * 1e4


@pytest.fixture
def voc(tmp_path):
    """Annotations of two images, and comp4 files of two classes, one of them without ground truth."""
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml/1.xml").write_text(voc_annotation(("dog", 1, 2, 30, 40), size=(80, 100)))
    (tmp_path / "xml/2.xml").write_text(voc_annotation(("cat", 5, 6, 70, 80), size=(80, 100)))
    (tmp_path / "set.txt").write_text("1\n2\n")
    (tmp_path / "results").mkdir()
    text = "1 0.010643 -197.015732 0.3 309.216309 159.029358\n2 0.5 5.25 6.000001 70 80.125\n"
    (tmp_path / "results/comp4_det_test_dog.txt").write_text(text)
    (tmp_path / "results/comp4_det_test_cat.txt").write_text("")
    (tmp_path / "results/comp4_det_test_emu.txt").write_text("2 1e-07 1.0 1.0 1.0 2.5\n")
    return tmp_path


def voc_sources(folder, **changed):
    paths = folder / "xml", folder / "results"
    given = sources(*paths, DetectionFormat.COMP4, imageset=folder / "set.txt")
    return replace(given, ground_truth_format=GroundTruthFormat.VOC, **changed)


def test_voc_results_to_coco_and_back_are_the_same_bytes(voc):
    pair = read_pair(voc_sources(voc, target=DetectionFormat.COCO))
    written = write_as(voc / "r.json", DetectionFormat.COCO, pair)
    assert written == [voc / "r.json", voc / "r.truth.json"]
    kinds = {"kind": DetectionFormat.COCO, "target": DetectionFormat.COMP4}
    back = read_pair(sources(voc / "r.truth.json", voc / "r.json", **kinds))
    write_as(voc / "back", DetectionFormat.COMP4, back)
    before, after = ({path.name: path.read_text() for path in (voc / name).iterdir()}
                     for name in ("results", "back"))  # fmt: skip
    # the words differ where the first had a whole number: 70 is 70.0
    assert {name: text.replace(".0 ", " ") for name, text in after.items()} == {
        name: text.replace(".0 ", " ") for name, text in before.items()
    }
    assert back.ground_truth_set.ground_truth.boxes.tolist() == pair.ground_truth_set.ground_truth.boxes.tolist()


def test_coco_results_for_a_ground_truth_of_xml_need_ids(voc):
    pair = read_pair(voc_sources(voc, target=DetectionFormat.COCO))
    write_as(voc / "r.json", DetectionFormat.COCO, pair)
    coco = {"detections": voc / "r.json", "detection_format": DetectionFormat.COCO}
    with pytest.raises(DatasetError, match="r.json: found a COCO result file, expected --ids"):
        read_pair(voc_sources(voc, **coco))
    found = read_pair(voc_sources(voc, **coco, ids=voc / "r.truth.json"))
    assert np.array_equal(grouped(found.detections), grouped(pair.detections))
    assert found.ground_truth_set.names == ("cat", "dog", "emu")
    (again,) = write_as(voc / "again.json", DetectionFormat.COCO, found)
    assert again.read_bytes() == (voc / "r.json").read_bytes()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"imageset": None}, "xml: found a folder of XML, expected --imageset, too"),
        ({"detection_format": DetectionFormat.LABELS_SCORE_LAST},
         "xml: found classes without numbers, expected --names, too"),
        ({"target": DetectionFormat.LABELS_SCORE_LAST},
         "xml: found classes without numbers, expected --names, too"),
    ],
)  # fmt: skip
def test_options_that_annotations_need_are_asked_for(voc, changed, message):
    with pytest.raises(DatasetError, match=message):
        read_pair(voc_sources(voc, **changed))


def test_a_folder_with_files_in_it_is_not_written_to(voc):
    pair = read_pair(voc_sources(voc))
    for target in (DetectionFormat.COMP4, DetectionFormat.LABELS_SCORE_FIRST):
        with pytest.raises(DatasetError, match="results: found files in it, expected a new or an"):
            write_as(voc / "results", target, pair)


def test_a_late_failure_leaves_no_half_of_a_folder(tmp_path):
    images = replace(images_of(origin=VOC_ORIGIN), names=("cat", "dog", "e" * 300))
    with pytest.raises(DatasetError, match="found class 'e{300}', expected one that can be part of a file's name"):
        write_as(tmp_path / "r", DetectionFormat.COMP4, Pair(images, detections_of(), None, ()))
    images = replace(images_of(), files=("a.jpg", "b.jpg", "c" * 300 + ".jpg"))
    with pytest.raises(OSError, match="File name too long"):
        write_as(
            tmp_path / "r",
            DetectionFormat.LABELS_SCORE_LAST,
            Pair(images, detections_of(), None, ()),
        )
    assert not [*tmp_path.iterdir()]


def test_images_without_a_file_of_detections_are_a_remark(tmp_path):
    write_coco_ground_truth(tmp_path / "t.json", images_of(some_ground_truth()), RISING)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/a.txt").write_text("0 0.9 0.25 0.5 0.3 0.5\n")
    kind = DetectionFormat.LABELS_SCORE_FIRST
    pair = read_pair(sources(tmp_path / "t.json", tmp_path / "labels", kind))
    assert pair.remarks == (f"{tmp_path}/labels: found no file for 2 of 3 images, such as c-d: no detections there",)
    assert grouped(pair.detections).tolist() == [[0, 0, 0.9, 10, 20, 40, 60]]


def test_a_data_file_is_the_ground_truth_of_a_darknet_json(four, tmp_path):
    box = '"relative_coordinates": {"center_x": .5, "center_y": .5, "width": .5, "height": .5}'
    thing = '{"class_id": 1, "name": "green", ' + box + ', "confidence": 0.5}'
    thing = thing.replace(": .5", ": 0.5")
    frames = [f'{{"filename": "x/p{at}.png", "objects": [{thing}]}}' for at in range(4)]
    (tmp_path / "r.json").write_text("[" + ",".join(frames) + "]")
    labels = {"ground_truth_format": GroundTruthFormat.LABELS}
    kind = DetectionFormat.DARKNET
    pair = read_pair(sources(four.data, tmp_path / "r.json", kind, **labels))
    assert pair.ground_truth_set.origin == 0 and len(pair.ground_truth_set.ground_truth.labels) == 6
    # by hand: the middle of 64 x 48
    assert pair.detections.boxes.tolist() == [[16, 12, 48, 36]] * 4
    comp4 = read_pair(sources(four.data, tmp_path / "r.json", kind, target=DetectionFormat.COMP4, **labels))
    assert comp4.detections.boxes.tolist() == [[17, 13, 49, 37]] * 4
    listed = four.folder / "list.txt"
    with pytest.raises(DatasetError, match="list.txt: found no class names, expected --names"):
        read_pair(sources(listed, tmp_path / "r.json", kind, **labels))
    names = {"names": four.folder / "tiny.names"}
    assert read_pair(sources(listed, tmp_path / "r.json", kind, **labels, **names)).ground_truth_set.names
    with pytest.raises(DatasetError, match="tiny.data: found names in it, expected no --names"):
        read_pair(sources(four.data, tmp_path / "r.json", kind, **labels, **names))


def test_a_real_networks_voc_results_lose_no_digit_in_coco(shared, tmp_path):
    with tarfile.open(shared / "voc_results/yolov2.tar.xz") as archive:
        for member in archive:
            if member.isfile():
                path = tmp_path / PurePosixPath(member.name).name
                path.write_bytes(archive.extractfile(member).read())
    names = results_names(tmp_path)
    lines = [line for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    files = tuple(sorted({line.split()[0] + ".jpg" for line in lines}))
    images = GroundTruthSet(names, files, SIZES[[0] * len(files)], ground_truth_of(), VOC_ORIGIN)
    detections = read_results(tmp_path, images)
    write_as(tmp_path / "r.json", DetectionFormat.COCO, Pair(images, detections, None, ()))
    back = read_coco_detections(tmp_path / "r.json", images, ids_from_one(images))
    assert len(back.scores) == 101_139  # 9,983 of them begin left of or above their image
    for name, column in vars(detections).items():
        assert np.array_equal(getattr(back, name), column), name


def test_no_detections_are_the_same_in_every_format(tmp_path):
    write_coco_ground_truth(tmp_path / "t.json", images_of(), COCO_IDS)
    for kind in DetectionFormat:
        written = tmp_path / kind.value
        origin = VOC_ORIGIN if kind is DetectionFormat.COMP4 else 0.0
        write_as(written, kind, Pair(images_of(origin=origin), detections_of(), COCO_IDS, ()))
        assert read_pair(sources(tmp_path / "t.json", written, kind)).detections.boxes.shape == (
            0,
            4,
        )
