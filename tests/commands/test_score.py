"""score as its users call it: a small case scored by hand in every format, and wrong input."""

import json

import numpy as np
import pytest

from tests.helpers.detection_files import voc_annotation
from tests.helpers.tiny_data import write_image

COLUMNS = {
    "comp4": "results",
    "coco": "r.json",
    "darknet": "d.json",
    "labels-score-first": "first",
    "labels-score-last": "last",
}
TABLE = ["| cat | 2 | 1 | 0.5455 | 0.5000 |", "| dog | 1 | 2 | 0.5000 | 0.5000 |"]
MEANS = "mAP voc07 0.522727  area 0.500000"
XML = ("--truth", "Annotations", "--imageset", "test.txt")
COCO = ("--truth", "t.json")
TWO = ("--metric", "area")


@pytest.fixture
def score(load_tool, call_tool, tmp_path, monkeypatch):
    module = load_tool("score")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: call_tool(module, *arguments)


@pytest.fixture
def case(tmp_path):
    """Two cats, one detected and one not; a dog, detected with a lower score than a false positive (as in
    test_score_voc)."""
    for folder in ("Annotations", "results"):
        (tmp_path / folder).mkdir()
    cat, dog = ("cat", 1, 1, 10, 10), ("dog", 20, 20, 29, 29)
    for name, objects in (("a", [cat]), ("b", [cat, dog])):
        text = voc_annotation(*objects, size=(40, 50))
        (tmp_path / f"Annotations/{name}.xml").write_text(text)
    (tmp_path / "test.txt").write_text("a\nb\n")
    (tmp_path / "two.names").write_text("cat\ndog\n")
    (tmp_path / "results/comp4_det_test_cat.txt").write_text("a 0.9 1 1 10 10\n")
    (tmp_path / "results/comp4_det_test_dog.txt").write_text("b 0.8 20 20 29 29\nb 0.9 1 1 5 5\n")
    return tmp_path


@pytest.fixture
def converted(case, score):
    """The same in every other format; t.json is the ground truth as COCO's."""
    for kind, path in COLUMNS.items():
        if kind != "comp4":
            options = ("--names", "two.names", "--convert-to", kind, "--out", path)
            code, out, err = score(*XML, "--detections", "results", *options)
            assert (code, err) == (0, "") and out.startswith(f"3 detections written to {path}")
    (case / "r.truth.json").rename(case / "t.json")
    return case


def rows(out):
    return [" ".join(line.split()) for line in out.splitlines()]


def test_scores_are_printed_and_written_as_json(case, score):
    code, out, err = score(*XML, "--detections", "results", "--json", "s.json")
    assert (code, err) == (0, "")
    lines = rows(out)
    # by hand as in test_score_voc; COCO's AP of the cats: half of the recalls, at every IoU, 51 of 101
    assert lines[3] == "| cat | 2 | 1 | 0.5455 | 0.5000 | 0.5050 |"
    assert lines[4] == "| dog | 1 | 2 | 0.5000 | 0.5000 | 0.5000 |"
    assert out.splitlines()[-3] == f"{MEANS}  coco 0.502475"
    assert lines[-2].startswith("coco AP 0.5025 AP50 0.5025 AP75 0.5025 AP small 0.5025 AP medium")
    record = json.loads((case / "s.json").read_text())
    assert record["metrics"]["area"] == {"mAP": 0.5, "classes": {"cat": 0.5, "dog": 0.5}}
    assert record["coco"]["AP"] == pytest.approx((51 / 101 + 0.5) / 2)
    assert record["coco"]["AP large"] is None


def test_all_metrics_are_printed_and_written_as_json(case, score):
    from_files = (*XML, "--detections", "results", "--thresh", ".85")
    code, out, err = score(*from_files, "--metric", "all", "--json", "s.json")
    assert (code, err) == (0, "")
    numbers = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in rows(out) if "Darknet" in line}
    # by hand: without counting the last pixel these boxes overlap as much, and Darknet divides by both classes
    assert numbers["Darknet: mAP -points 0"] == "0.500000"
    record = json.loads((case / "s.json").read_text())
    assert record["all"]["confusion"]["counts"] == [[1, 0, 1], [0, 0, 1], [0, 1, 0]]
    assert record["metrics"]["voc07"]["mAP"] == pytest.approx(0.522727, abs=1e-6)


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("ground_truth", [XML, COCO], ids=["xml", "coco"])
def test_every_format_scores_the_same(converted, score, kind, ground_truth):
    options = ["--format", kind] if kind.startswith("labels") else []
    options += ["--names", "two.names"] if ground_truth is XML and kind != "comp4" else []
    options += ["--ids", "t.json"] if ground_truth is XML and kind == "coco" else []
    code, out, err = score(*ground_truth, "--detections", COLUMNS[kind], *options)
    assert (code, err) == (0, "")
    assert [row[: len(TABLE[0]) - 1] for row in rows(out)[3:5]] == [row[:-1] for row in TABLE]
    assert out.splitlines()[-2] == f"{MEANS}  coco 0.502475"


def test_the_class_table_is_that_of_score_voc(case, score, load_tool, call_tool):
    voc = load_tool("score_voc")
    theirs = call_tool(voc, "results", "--annotations", "Annotations", "--imageset", "test.txt")
    area = call_tool(voc, "results", "--annotations", "Annotations", "--imageset", "test.txt", *TWO)
    assert score(*XML, "--detections", "results", *TWO) == area
    assert theirs[1].splitlines()[-1] == MEANS


def test_scores_at_another_iou_threshold(case, score):
    # the dog moved by two pixels: IoU 8/12 with the last pixel counted
    (case / "results/comp4_det_test_dog.txt").write_text("b 0.8 22 20 31 29\n")
    arguments = *XML, "--detections", "results", *TWO, "--iou"
    assert score(*arguments, "0.66")[1].splitlines()[-1] == "mAP area 0.750000"
    assert score(*arguments, "0.67")[1].splitlines()[-1] == "mAP area 0.250000"


def test_ground_truth_is_read_from_a_data_file(four, score, tmp_path):
    boxes = [(at, *box) for at, each in enumerate(four.boxes) for box in each]
    folder = tmp_path / "predicted"
    folder.mkdir()
    for at, *_ in boxes:
        (folder / f"p{at}.txt").write_text((four.folder / f"labels/p{at}.txt").read_text())
    for path in folder.iterdir():
        lines = path.read_text().splitlines()
        path.write_text("".join(f"{line} 0.5\n" for line in lines))
    arguments = "--truth", four.data, "--detections", folder, "--format", "labels-score-last"
    code, out, _ = score(*arguments, *TWO)
    assert (code, out.splitlines()[-1]) == (0, "mAP area 1.000000")


def test_a_coco_file_and_the_labels_made_of_it_are_the_same_ground_truth(tmp_path, score, load_tool, call_tool):
    rng = np.random.default_rng(8)
    images, boxes, found = [], [], []
    for number in range(1, 5):
        name = f"{number}.png"
        write_image(tmp_path / "images" / name, np.zeros((60, 90, 3), np.uint8))
        images.append({"id": number, "file_name": name, "width": 90, "height": 60})
        for _ in range(8):
            box = [*rng.uniform(0, 30, 2), *rng.uniform(5, 25, 2)]
            row = {"image_id": number, "category_id": int(rng.choice([5, 9]))}
            crowd = int(rng.random() < 0.3)
            boxes.append({**row, "id": len(boxes), "bbox": box, "iscrowd": crowd})
            moved = [side + rng.normal(0, 1.5) for side in box]
            found.append({**row, "bbox": moved, "score": round(float(rng.random()), 1)})
    categories = [{"id": 9, "name": "b"}, {"id": 5, "name": "a"}]
    ground_truth = {"images": images, "annotations": boxes, "categories": categories}
    (tmp_path / "t.json").write_text(json.dumps(ground_truth))
    (tmp_path / "r.json").write_text(json.dumps(found))
    convert = load_tool("convert_coco")
    pair = "t.json:images"
    assert call_tool(convert, "--train", pair, "--valid", pair, "--out", "out")[0] == 0
    detections = "--detections", "r.json", "--metric", "area", "--json"
    code, table, _ = score(*COCO, *detections, "a.json")
    assert code == 0
    data = "--truth", "out/coco.data", "--ids", "t.json"
    assert score(*data, *detections, "b.json")[:2] == (0, table.replace("a.json", "b.json"))
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()
    assert 0.1 < json.loads((tmp_path / "a.json").read_text())["metrics"]["area"]["mAP"] < 0.9


def spoil(path, old, new):
    def change(case):
        text = (case / path).read_text()
        assert old in text
        (case / path).write_text(text.replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (spoil("results/comp4_det_test_dog.txt", "0.8", "nan"), (*XML, "results"),
         "results/comp4_det_test_dog.txt:1: found score 'nan', expected a finite number"),
        (spoil("results/comp4_det_test_dog.txt", "1 1 5 5", "5 1 1 5"), (*XML, "results", "--on-problem", "stop"),
         "results: found 1 inverted box among 3 detections, first 5 1 1 5 (xmin ymin xmax ymax) of dog in b.jpg\n"),
        (spoil("results/comp4_det_test_dog.txt", "b 0.9", "c 0.9"), (*XML, "results"),
         "results/comp4_det_test_dog.txt:2: found image c, expected one of the 2"),
        (spoil("results/comp4_det_test_dog.txt", "29 29", "29"), (*XML, "results"),
         "results/comp4_det_test_dog.txt:1: found 5 columns, expected 6: id score xmin"),
        (lambda case: (case / "results/comp4_det_test_dog.txt").unlink(), (*XML, "results"),
         "results: no comp4_det_test_<class>.txt found for dog, expected one for each class"),
        (spoil("test.txt", "b", "a"), (*XML, "results"),
         "test.txt:2: found a again, expected each image once (it is in test.txt:1)"),
        (spoil("r.json", '"score": 0.8', '"score": NaN'), (*COCO, "r.json"),
         "r.json: entry 2: found bbox [19.0, 19.0, 9.0, 9.0] and score nan, expected four finite"),
        (spoil("r.json", "9.0, 9.0]", "9.0, -9.0]"), (*COCO, "r.json", "--on-problem", "stop"),
         "r.json: found 1 inverted box among 3 detections, first 0 0 9 -9 (xmin ymin xmax ymax) of cat in a.jpg\n"),
        (spoil("r.json", '"image_id": 2', '"image_id": 3'), (*COCO, "r.json"),
         "r.json: entry 2: found image_id 3, expected one of the 2 known"),
        (spoil("r.json", "]\n", ""), (*COCO, "r.json"), "r.json:3: column "),
        (spoil("t.json", '"bbox"', '"box"'), (*COCO, "r.json"),
         "t.json: annotation 1: found bbox None, expected left, top, width and height"),
        (lambda case: (case / "empty").mkdir(), (*COCO, "empty"),
         "empty: found an empty folder, expected comp4_det_test_CLASS.txt for each class or IMAGE.txt for each"),
        (lambda case: (case / "r.json").write_text("[]\n"), (*COCO, "r.json"),
         "r.json: found an empty list, expected --format, because nothing in the file shows it"),
        (spoil("d.json", "b.jpg", "c.jpg"), (*COCO, "d.json"),
         "d.json: frame 2: found 'c.jpg', expected one of the 2 images of the ground truth"),
        (spoil("d.json", "0.8}", "Infinity}"), (*COCO, "d.json"),
         "d.json: frame 2, object 1: found confidence inf, expected a finite number"),
        (spoil("first/b.txt", "1 0.8", "1 nan"),
         (*COCO, "first", "--format", "labels-score-first"),
         "first/b.txt:1: found '1 nan 0.47"),
        (spoil("first/b.txt", "1 0.8", "7 0.8"),
         (*COCO, "first", "--format", "labels-score-first"),
         "first/b.txt:1: found class '7', expected 0 to 1"),
        (lambda case: None, (*COCO, "first"), "first: found no comp4 file, expected --format label"),
        (lambda case: None, (*XML[:2], "results"), "Annotations: found a folder of XML, expected"),
        (lambda case: None, (*COCO, "no.json"), "no.json: No such file or directory"),
        (lambda case: None, (*COCO, "r.json", "--ids", "t.json"), "--ids t.json: found with COCO"),
        (lambda case: None, (*COCO, "r.json", "--imageset", "test.txt"), "--imageset test.txt: fo"),
        (lambda case: None, (*COCO, "r.json", "--iou", "nan"), "--iou nan: expected a number"),
        (lambda case: None, (*COCO, "r.json", "--convert-to", "coco", "--out", "x"),
         "found --json or --metric with --convert-to, which scores nothing"),
        (lambda case: None, (*COCO, "r.json", "--out", "x"), "expected --convert-to and --out"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_exit_code_two_and_nothing_scored(converted, score, change, arguments, message):
    change(converted)
    (converted / "s.json").write_text("the last run's")
    at = next(i for i, each in enumerate(arguments) if i % 2 == 0 and not each.startswith("--"))
    command = (*arguments[:at], "--detections", *arguments[at:])
    code, out, err = score(*command, "--json", "s.json")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}") and err.count("\n") == 1
    assert (converted / "s.json").read_text() == "the last run's"


def test_an_inverted_box_is_a_false_positive_counted_and_named(case, score, load_tool, call_tool):
    (case / "results/comp4_det_test_dog.txt").write_text("b 0.8 20 20 29 29\nb 0.9 5 1 1 5\n")
    code, out, err = score(*XML, "--detections", "results", *TWO)
    assert code == 0 and rows(out)[4] == TABLE[1].replace(" 0.5000 | 0.5000 |", " 0.5000 |")  # as for 1 1 5 5
    found = "found 1 inverted box among 3 detections, first 5 1 1 5 (xmin ymin xmax ymax) of dog in b.jpg"
    assert err == (
        f"results: {found}; scored as they are: VOC's rules count them as false positives, COCO's leave them out\n"
    )
    voc = "results", "--annotations", "Annotations", "--imageset", "test.txt", *TWO
    assert call_tool(load_tool("score_voc"), *voc) == (code, out, err)
    assert call_tool(load_tool("score_voc"), *voc, "--on-problem", "stop") == (2, "", f"error: results: {found}\n")


def test_listed_images_of_the_same_name_are_distinguished_by_path(four, score, tmp_path):
    image = four.folder / "more/images/p0.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(four.images[0].read_bytes())
    (four.folder / "more/labels").mkdir()
    (four.folder / "more/labels/p0.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (four.folder / "one.txt").write_text(f"{four.images[0]}\n{image}\n")
    (four.folder / "one.data").write_text(f"classes=2\nvalid={four.folder}/one.txt\nnames={four.folder}/tiny.names\n")
    for folder, source in (
        (four.folder.name, four.folder / "labels/p0.txt"),
        ("more", four.folder / "more/labels/p0.txt"),
    ):
        (tmp_path / "predicted" / folder / "images").mkdir(parents=True)
        rows = "".join(f"{line} 0.5\n" for line in source.read_text().splitlines())
        (tmp_path / "predicted" / folder / "images/p0.txt").write_text(rows)
    options = "--detections", "predicted", "--format", "labels-score-last"
    code, out, _ = score("--truth", four.folder / "one.data", *options, *TWO)
    assert (code, out.splitlines()[-1]) == (0, "mAP area 1.000000")
