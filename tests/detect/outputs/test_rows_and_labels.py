"""yolo.detect.outputs: JSON lines, CSV, labels as YOLO, VOC and COCO, crops, and the names of files."""

import csv
import errno
import json
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.helpers.box_rows import detections_in_image
from tests.helpers.full_disk import full_beyond
from yolo.data.images import read_image
from yolo.detect.outputs.images import Crops
from yolo.detect.outputs.labels import LabelFiles, coco_file_name, voc_annotation
from yolo.detect.outputs.naming import Stems, safe_name, source_stem
from yolo.detect.outputs.result import Result
from yolo.detect.outputs.rows import csv_table, json_lines
from yolo.detect.sources.frame import SourceFrame
from yolo.errors import OutputError
from yolo.formats.coco_annotations import read_coco
from yolo.formats.label_files import labeled_boxes, read_rows
from yolo.formats.voc_xml import read_annotation

NAMES = ("red", "grün, hell")
HEIGHT, WIDTH = 40, 80


TWO = detections_in_image((8, 10, 24.5, 30, 0.75, 0), (-4, 4, 100, 20, 0.5, 1))
OUTSIDE = detections_in_image((90, 10, 100, 20, 0.9, 0))


def result(found=TWO, path="in/a.png", time=None, index=0, tracks=None, channels=3):
    image = np.arange(HEIGHT * WIDTH * channels, dtype=np.uint32).reshape(HEIGHT, WIDTH, channels)
    frame = SourceFrame((image % 251).astype(np.uint8), path, index, time, Path(path) if time is None else None)
    return Result(frame, found, tracks)


VIDEO = {"path": "in/clip.mp4", "time": 1.2504, "index": 30}  # milliseconds are written


# ------------------------------------------------------------------------------------------------------------- rows


def test_a_json_line_is_there_as_soon_as_its_frame_is(tmp_path):
    path = tmp_path / "new" / "a.jsonl"
    with json_lines(path, NAMES) as lines:
        lines.write(result(**VIDEO, tracks=np.array([3, -1])))
        assert json.loads(path.read_text()) == {
            "source": "in/clip.mp4",
            "frame": 30,
            "time": 1.25,
            "width": WIDTH,
            "height": HEIGHT,
            "objects": [
                {"class_id": 0, "name": "red", "score": 0.75, "box": [8, 10, 24.5, 30], "track": 3},
                {"class_id": 1, "name": "grün, hell", "score": 0.5, "box": [-4, 4, 100, 20]},
            ],
        }
        lines.write(result(found=detections_in_image()))
    first, second = map(json.loads, path.read_text().splitlines())
    assert (second["time"], second["objects"], first["frame"]) == (None, [], 30)


def test_json_lines_go_to_stdout_for_a_dash(capsys):
    with json_lines(Path("-"), NAMES) as lines:
        lines.write(result())
    assert json.loads(capsys.readouterr().out)["source"] == "in/a.png"


@pytest.mark.parametrize("written", [json_lines, lambda path, names: csv_table(path, names, tracked=False)])
def test_an_error_without_room_names_the_file(tmp_path, written):
    path = tmp_path / "a"
    with pytest.raises(OSError) as error, full_beyond(100), written(path, NAMES) as lines:
        lines.write(result())
        lines.write(result())
    assert error.value.filename == str(path)


@pytest.mark.parametrize("written", [json_lines, lambda path, names: csv_table(path, names, tracked=False)])
def test_a_second_writer_of_a_file_is_refused_and_the_first_one_loses_no_row(tmp_path, written):
    path = tmp_path / "new" / "a"
    refused = pytest.raises(OutputError, match=r"found another process that writes (it|a in this folder)")
    with written(path, NAMES) as rows:
        rows.write(result())
        with refused, written(path, NAMES):
            pass
        rows.write(result())
    assert path.read_text().count("in/a.png") == path.read_text().count("\n") - (written is not json_lines) > 1
    assert list(path.parent.iterdir()) == [path]
    with written(path, NAMES):  # the first one has ended
        pass


def test_csv_deletes_what_a_killed_process_left(tmp_path):
    for name in (".a.csv.lock", ".a.csv.abcdefg1"):
        (tmp_path / name).write_text("1234")
    with csv_table(tmp_path / "a.csv", NAMES, tracked=False):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["a.csv"]


def test_json_lines_on_a_full_disk_end_with_a_whole_line(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(OSError), full_beyond(500), json_lines(path, NAMES) as lines:
        for _ in range(9):
            lines.write(result())
    rows = path.read_text().splitlines(keepends=True)
    assert rows and all(row.endswith("\n") and json.loads(row)["source"] == "in/a.png" for row in rows)


def test_json_lines_go_into_a_pipe(tmp_path):
    read, write = os.pipe()
    with os.fdopen(read) as reader:
        with json_lines(Path(f"/dev/fd/{write}"), NAMES) as lines:
            lines.write(result())
        os.close(write)
        assert json.loads(reader.read())["source"] == "in/a.png"


def test_an_error_of_other_work_does_not_name_the_json_lines(tmp_path):
    with pytest.raises(OSError) as error, json_lines(tmp_path / "a", NAMES):
        raise OSError(errno.ENOSPC, "No space left on device")  # as of a full stdout
    assert error.value.filename is None


def test_csv_has_a_row_for_each_object(tmp_path):
    with csv_table(tmp_path / "a.csv", NAMES, tracked=True) as table:
        table.write(result())
        table.write(result(**VIDEO, tracks=np.array([3, -1])))
        assert not (tmp_path / "a.csv").exists()
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert ",".join(rows[0]) == "source,frame,time,class_id,name,score,x1,y1,x2,y2,track"
    assert rows[1] == [
        "in/a.png",
        "0",
        "",
        "0",
        "red",
        "0.750000",
        "8.00",
        "10.00",
        "24.50",
        "30.00",
        "",
    ]
    assert rows[3][:5] + rows[3][-1:] == ["in/clip.mp4", "30", "1.250", "0", "red", "3"]
    assert [row[4] for row in rows[1:]] == ["red", "grün, hell"] * 2 and rows[4][-1] == ""


def test_csv_without_tracking_has_no_track_and_nothing_is_left_after_an_error(tmp_path):
    with csv_table(tmp_path / "a.csv", NAMES, tracked=False) as table:
        table.write(result())
    assert (tmp_path / "a.csv").read_text().splitlines()[0].endswith("x2,y2")
    with pytest.raises(ZeroDivisionError), csv_table(tmp_path / "b.csv", NAMES, False):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


# ----------------------------------------------------------------------------------------------------------- labels


def written(tmp_path, kind, *results):
    stems = Stems(Path(each.frame.source) for each in results if each.frame.path)
    labels = LabelFiles(tmp_path, kind, NAMES, stems)
    for each in results:
        labels.write(each)
    labels.finish()


def test_yolo_labels_are_read_as_labels_with_boxes_inside_the_image(tmp_path):
    written(tmp_path, "yolo", result(), result(found=OUTSIDE, path="in/b.png"))
    rows, faults = read_rows(tmp_path / "labels" / "a.txt", 2)
    boxes = labeled_boxes(rows)
    assert faults == [] and boxes.labels.tolist() == [0, 1]
    # by hand: (8..24.5) / 80, (10..30) / 40; the second is cut to 0..80
    expected = [[0.203125, 0.5, 0.20625, 0.5], [0.5, 0.3, 1.0, 0.4]]
    np.testing.assert_allclose(boxes.boxes, expected, atol=1e-6)
    assert (tmp_path / "labels" / "b.txt").read_text() == ""
    assert not (tmp_path / "images").exists()
    assert (tmp_path / "classes.txt").read_text() == "red\ngrün, hell\n"


@pytest.mark.parametrize("kind", ["yolo", "voc", "coco"])
def test_without_an_image_there_is_no_file_of_labels(tmp_path, kind):
    written(tmp_path, kind)
    assert [*tmp_path.iterdir()] == []


def test_voc_labels_are_read_as_annotations(tmp_path):
    written(tmp_path, "voc", result())
    annotation = read_annotation(tmp_path / "labels" / "a.xml")
    assert (annotation.width, annotation.height) == (WIDTH, HEIGHT)
    boxes = [(each.name, each.xmin, each.ymin, each.xmax, each.ymax) for each in annotation.objects]
    # pixels from 1: x 8..24.5 are the pixels 9 to 24, the half one rounded to even
    assert boxes == [("red", 9, 11, 24, 30), ("grün, hell", 1, 5, 80, 20)]
    assert "<filename>a.png</filename>" in (tmp_path / "labels" / "a.xml").read_text()


def test_voc_labels_of_any_file_name_can_be_read_again():
    text = voc_annotation(Path("a\x1b\udcff\x00<é>.jpg"), (6, 8), [(0, 1, 1, 3, 3)], ["cat"])
    root = ElementTree.fromstring(text.encode())
    assert root.findtext("filename") == r"a\x1b\udcff\x00<é>.jpg" and root.findtext("object/name") == "cat"


def test_coco_labels_are_read_as_annotations(tmp_path):
    written(tmp_path, "coco", result(), result(found=OUTSIDE, path="in/b.png"), result(**VIDEO))
    content = json.loads((tmp_path / "labels.json").read_text())
    assert [each["name"] for each in content["categories"]] == list(NAMES)
    assert [(each["id"], each["file_name"]) for each in content["images"]] == [
        *((1, "in/a.png"), (2, "in/b.png"), (3, "images/clip_000030.png"))
    ]
    assert [(each["image_id"], each["category_id"]) for each in content["annotations"]] == [
        *((1, 1), (1, 2), (3, 1), (3, 2))
    ]
    assert content["annotations"][0]["bbox"] == [8, 10, 16.5, 20]
    assert content["annotations"][1]["bbox"] == [0, 4, 80, 16]
    assert len(read_coco(tmp_path / "labels.json").images) == 3


@pytest.mark.parametrize("kind, ending", [("yolo", "txt"), ("voc", "xml")])
def test_frames_of_a_video_are_written_beside_their_labels(tmp_path, kind, ending):
    written(tmp_path, kind, result(**VIDEO), result(**VIDEO | {"index": 31}))
    for folder, end in (("images", "png"), ("labels", ending)):
        names = sorted(path.name for path in (tmp_path / folder).iterdir())
        assert names == [f"clip_000030.{end}", f"clip_000031.{end}"]
    image = read_image(tmp_path / "images" / "clip_000030.png")
    assert (image == result().frame.image).all()


@pytest.mark.parametrize(
    "image, name",
    [
        ("in/a.png", "in/a.png"),
        ("out/images/a.png", "images/a.png"),
        ("/data/in/a.png", "a.png"),
        ("../in/a.png", "a.png"),
    ],
)
def test_names_in_coco_files_are_below_a_folder(image, name):
    assert coco_file_name(Path(image), Path("out")) == name


# ------------------------------------------------------------------------------------------------------ crops, names


def test_crops_are_the_pixels_of_each_object_in_its_classs_folder(tmp_path):
    crops = Crops(tmp_path, NAMES, Stems())
    crops.write(result())
    crops.write(result(found=OUTSIDE, path="in/b.png"))
    crops.write(result(**VIDEO, channels=1))
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    assert files == [
        *("grün, hell/a-2.png", "grün, hell/clip_000030-2.png"),
        *("red/a-1.png", "red/clip_000030-1.png"),
    ]
    crop = read_image(tmp_path / "red" / "a-1.png")
    assert (crop == result().frame.image[10:30, 8:25]).all()


@pytest.mark.parametrize(
    "source, stem",
    [
        ("in/clip.mp4", "clip"),
        ("-", "stdin"),
        ("camera 0", "camera0"),
        ("rtsp://10.0.0.7:554/live/main", "main"),
        ("http://host", "host"),
        ("http://host/a.jpg?x=/y", "a"),
        ("in/frame%05d.png", "frame"),
        ("%d.png", "frames"),
    ],
)
def test_a_source_has_a_name_that_a_file_can_have(source, stem):
    assert source_stem(source) == stem


@pytest.mark.parametrize(
    "name, safe",
    [
        ("red", "red"),
        ("green/blue", "green_blue"),
        ("..", "_"),
        ("a:b*c?", "a_b_c_"),
        ("狗 собака", "狗 собака"),
        (".hidden", "_hidden"),
    ],
)
def test_a_class_has_a_name_that_a_folder_can_have(name, safe):
    assert safe_name(name) == safe


def test_names_are_never_longer_than_a_file_system_allows():
    assert len(safe_name("狗" * 200).encode()) <= 150


def test_sources_of_one_name_get_names_of_their_own():
    stems = Stems([Path("a/x/p.png"), Path("b/x/p.png"), Path("b/p.jpg"), Path("b/q.png")])
    names = [stems.of_source(path) for path in ("a/x/p.png", "b/x/p.png", "b/p.jpg", "b/q.png")]
    assert names == ["x_p", "x_p-2", "b_p", "q"]
    assert [stems.of_source(path) for path in ("c/q.mp4", "d/q.mp4")] == ["q-2", "q-3"]
    assert stems.of_source("c/q.mp4") == "q-2"
