"""The command split: lists, folders and .data files of YOLO labels become two lists, and labels stay as they are."""

from pathlib import Path

import pytest

from yolo.data.convert.recognize import AnnotationKind, annotations_of
from yolo.data.convert.yolo_labels import yaml_names
from yolo.data_file import read_data
from yolo.errors import DatasetError
from yolo.formats.label_files import label_files
from yolo.names_file import read_names


def labeled(folder, count=12, images="", labels="", ending=".jpg", classes=2):
    """Empty images, each with a label file of one class."""
    for at in range(count):
        for inner, name, text in (
            (images, f"{at:03}{ending}", ""),
            (labels, f"{at:03}.txt", f"{at % classes} .5 .5 .2 .2\n"),
        ):
            path = folder / inner / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.with_name(f"._{name}").write_bytes(b"\0\5\x16\7")  # as macOS writes beside each
    return folder


def lists(out):
    return tuple([Path(line).name for line in (out / f"{split}.txt").read_text().split("\n")[:-1]] for split in
                 ("train", "valid"))  # fmt: skip


@pytest.mark.parametrize(("images", "labels"), [("", ""), ("images", "labels"), ("JPEGImages", "labels")])
def test_a_folder_becomes_two_lists_and_a_data_file(tmp_path, call, images, labels):
    folder = labeled(tmp_path / "flowers", images=images, labels=labels, ending=".JPG")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, out, err = call("split", folder, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    train, valid = lists(tmp_path / "out")
    assert sorted(train + valid) == [f"{at:03}.JPG" for at in range(12)] and 0 < len(valid) < 8
    assert all(Path(line).is_file() for line in (tmp_path / "out/train.txt").read_text().splitlines())
    data = read_data(tmp_path / "out/flowers.data")
    assert (data.classes, data.name, read_names(data.names)) == (2, "flowers", ["0", "1"])
    assert ["images", str(len(train)), str(len(valid))] in [line.split() for line in out.splitlines()]
    assert f"--data {tmp_path}/out/flowers.data" in out and "class names: none found" in out
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["a\nerror: b.jpg", "a\u2028b.jpg", "a\x85.jpg"])
def test_a_file_name_that_a_list_would_break_is_refused(tmp_path, call, name):
    folder = labeled(tmp_path / "flowers")
    (folder / name).write_text("")
    code, out, err = call("split", folder, "--out", tmp_path / "out")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "found a file name with an end of a line, expected one that a list can hold" in err
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_a_list_is_split_as_its_folder_is_and_names_are_found_beside_it(tmp_path, call):
    folder = labeled(tmp_path / "images")
    (tmp_path / "all.txt").write_text("".join(f"images/{at:03}.jpg\n" for at in range(12)))
    (tmp_path / "my.names").write_text("cat\ndog\n")
    assert call("split", tmp_path / "all.txt", "--out", tmp_path / "a", "--seed", 3)[0] == 0
    assert call("split", folder, "--out", tmp_path / "b", "--seed", 3, "--split", "20%")[0] == 0
    assert lists(tmp_path / "a") == lists(tmp_path / "b")
    assert read_names(tmp_path / "a/all.names") == ["cat", "dog"]


def test_a_list_that_the_same_hash_has_split_before_is_named(tmp_path, call):
    labeled(tmp_path / "images", 100)
    first = call("split", tmp_path / "images", "--split", 0.3, "--out", tmp_path / "a")[1]
    again = call("split", tmp_path / "a" / "train.txt", "--split", 0.2, "--out", tmp_path / "b")[1]
    other = call("split", tmp_path / "a" / "train.txt", "--split", 0.2, "--seed", 1, "--out", tmp_path / "c")[1]
    assert ["far from that fraction" in out for out in (first, again, other)] == [False, True, False]
    assert "--seed 1 splits it differently" in again


def test_a_data_file_is_split_again_and_keeps_its_names_and_its_name(tmp_path, call):
    folder = labeled(tmp_path / "images")
    assert call("split", folder, "--out", tmp_path / "a", "--name", "first")[0] == 0
    (tmp_path / "a/first.names").write_text("cat\ndog\n")
    code, out, _ = call("split", tmp_path / "a", "--split", 0.5, "--out", tmp_path / "b")
    assert code == 0 and "fraction 0.5" in out
    assert read_names(tmp_path / "b/first.names") == ["cat", "dog"]
    code, out, _ = call("split", tmp_path / "a/first.data", "--split", 0.5, "--out", tmp_path / "c")
    assert (code, read_names(tmp_path / "c/first.names")) == (0, ["cat", "dog"])
    assert sorted(sum(lists(tmp_path / "c"), [])) == [f"{at:03}.jpg" for at in range(12)]


def test_own_lists_of_a_folder_stay_unless_a_split_is_asked(tmp_path, call):
    for split, count in (("train", 6), ("valid", 4), ("test", 2)):
        labeled(tmp_path / "robo" / split, count, "images", "labels")
    (tmp_path / "robo/data.yaml").write_text("train: ../train/images\nnc: 2\nnames: ['red cell', 'white']\n")
    code, out, _ = call("split", tmp_path / "robo", "--out", tmp_path / "a")
    assert code == 0 and [len(each) for each in lists(tmp_path / "a")] == [6, 4]
    assert "not used: " in out and "robo/test (2 images)" in out
    assert read_names(tmp_path / "a/robo.names") == ["red cell", "white"]
    assert call("split", tmp_path / "robo", "--split", 0.3, "--out", tmp_path / "b")[0] == 0
    assert sum(len(each) for each in lists(tmp_path / "b")) == 12


def test_unlabeled_images_and_bad_rows_are_named(tmp_path, call):
    folder = labeled(tmp_path / "d")
    (folder / "000.txt").unlink()
    (folder / "001.txt").write_text("7 .5 .5 .2 .2\n")
    (folder / "classes.txt").write_text("cat\ndog\n")
    code, out, _ = call("split", folder, "--out", tmp_path / "out")
    assert code == 0 and "1 x image without a label file, 1 x row of a label file" in out
    assert f"{folder}/001.txt:1: found class 7, expected 0 to 1" in (tmp_path / "out/repairs.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["d", "--split", "1"], "found '1', expected a number above 0 and below 1"),
        (["d", "--name", "a/b"], "found 'a/b', expected a name without /"),
        (["nowhere"], "nowhere"),
        (["empty"], "found no image (.jpg"),
        (["bare"], "found no label file for any of 1 image: looked for "),
        (["out/train.txt"], "out/train.txt would replace the input out/train.txt"),
    ],
)
def test_what_cannot_be_split_is_one_line_and_nothing_is_written(tmp_path, call, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    labeled(tmp_path / "d")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/1.jpg").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/train.txt").write_text("".join(f"d/{at:03}.jpg\n" for at in range(12)))
    before = sorted(tmp_path.rglob("*"))
    code, _, err = call("split", *arguments, "--out", "out")
    assert code == 2 and message in err and sorted(tmp_path.rglob("*")) == before


def test_a_list_that_the_command_did_not_write_is_not_replaced(tmp_path, call):
    folder = labeled(tmp_path / "d")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/valid.txt").write_text("mine\n")
    code, _, err = call("split", folder, "--out", tmp_path / "out")
    assert code == 2 and "valid.txt: found a file that this conversion did not write" in err and err.count("\n") == 1
    assert (tmp_path / "out/valid.txt").read_text() == "mine\n" and not (tmp_path / "out/train.txt").exists()
    assert call("split", folder, "--out", tmp_path / "out", "--overwrite")[0] == 0
    assert call("split", folder, "--out", tmp_path / "out", "--split", 0.4)[0] == 0  # its own lists


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("nc: 2\nnames: ['a', \"b c\"]\n", ("a", "b c")),
        ("names: [a, b]\nnc: 2\n", ("a", "b")),
        ("names: ['16:9', \"4:3\"]\n", ("16:9", "4:3")),
        (
            "names: {0: person, 1: traffic\n    light, 2: 'fire\n    hydrant'}\n",
            ("person", "traffic light", "fire hydrant"),
        ),
        ("names:\n  0: a\n  1: b c\nnc: 2\n", ("a", "b c")),
        ("names:\n- a\n- 'b'\ntrain: x\n", ("a", "b")),
        ("names: [\n 'a',\n 'b']\n", ("a", "b")),
        ("names: {0: a, 1: 'b, c'}\n", ("a", "b, c")),
        ("names:   # the classes\n  1: b # two\n  0: 'a #1'\nnc: 2\n", ("a #1", "b")),
        ('names:\n  - a # one\n  - "b \\u00e9"\nnc: 2\n', ("a", "b é")),
        ("names: [\n  'it''s', # first\n  b\n]\n", ("it's", "b")),
        ("names: {1: b, 0: a}\n", ("a", "b")),
        ("nc: 2\n", None),
    ],
)
def test_names_are_read_from_the_yaml_files_of_other_programs(tmp_path, text, names):
    (tmp_path / "data.yaml").write_text(text)
    assert yaml_names(tmp_path / "data.yaml") == names


def test_numbers_of_classes_with_a_gap_are_an_error(tmp_path):
    (tmp_path / "data.yaml").write_text("names:\n  1: a\n  2: b\n")
    with pytest.raises(DatasetError, match="data.yaml: names: found the numbers 1, 2, expected 0 to 1, each once"):
        yaml_names(tmp_path / "data.yaml")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0 .1 .1 .2 .1 .2 .3", "found 7 columns, expected 5: class cx cy w h (an outline? export boxes)"),
        ("0 .5 .5 .2 .2 .9", "found 6 columns, expected 5: class cx cy w h;"),
        ("\ufeff0 0,5 0,5 0,2 0,2", "expected numbers: class cx cy w h"),
        ("0 34 33 59 46", "found center 34 33, expected it inside the image"),
    ],
)
def test_label_files_without_any_usable_row_stop_it(tmp_path, call, row, message):
    folder = labeled(tmp_path / "d", 3)
    for each in folder.glob("0*.txt"):
        each.write_text(f"{row}\n{row}\n")
    assert annotations_of(folder) is AnnotationKind.LABELS
    code, _, err = call("split", folder, "--out", tmp_path / "out")
    assert code == 2 and f"{folder}/000.txt:1: " in err and message in err and not (tmp_path / "out").exists()
    assert "none of the 6 rows of all label files is usable" in err


@pytest.mark.parametrize(
    ("images", "labels", "home"),
    [
        ("img", "labels", "out/img/labels"),
        ("Images/train", "Labels/train", "out/train/labels"),
        ("images", "labels_my-project_2024", "d/labels"),  # MakeSense
    ],
)
def test_labels_where_darknet_does_not_look_are_written_where_it_does(tmp_path, call, images, labels, home):
    folder = labeled(tmp_path / "d", images=images, labels=labels)
    (folder / labels / "007.txt").write_text("1 0.1234567 .5 .25 .125\n0 .5 .5 .2 .2\n")
    (folder / labels / "008.txt").unlink()
    code, out, _ = call("split", folder, "--out", tmp_path / "out")
    assert code == 0 and f"labels: {tmp_path}/{home}" in out and "1 x image without a label file" in out
    listed = [
        Path(line) for split in ("train", "valid") for line in (tmp_path / f"out/{split}.txt").read_text().split()
    ]
    (seven,) = (image for image in listed if image.name == "007.jpg")
    assert len(listed) == 12 and seven.resolve() == folder / images / "007.jpg"
    assert next(label_files(seven)).read_text() == "1 0.1234567 0.5 0.25 0.125\n0 0.5 0.5 0.2 0.2\n"
    assert call("split", folder, "--out", tmp_path / "out")[0] == 0  # the same again


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("annotations.xml", "<?xml version='1.0'?><annotations>\n<image id='0'>", "annotations.xml is XML of CVAT for"),
        ("0.json", '{"version": "5", "shapes": [], "imagePath": "0.jpg"}', "0.json is JSON of LabelMe"),
        (
            "_annotations.createml.json",
            '[{"image": "0.jpg", "annotations": [{"coordinates": 1}]}]',
            "is JSON of CreateML",
        ),
        ("train.csv", "filename,xmin\n", "train.csv is a CSV file; export it as one of these"),
        ("set.zip", "PK", "(set.zip is a zip archive, to be unpacked first)"),
        ("cat/1.jpg", "", "(images in one folder for each class are for a classifier, see docs/training.md)"),
        ("a.txt", "1 2\n", "label files (class x y w h)\n"),
    ],
)
def test_other_annotations_are_named(tmp_path, call, name, text, message):
    for each in (tmp_path / "d/dog/0.jpg", tmp_path / "d" / name):
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_text(text)
    code, _, err = call("new", tmp_path / "d", "--out", tmp_path / "out")
    assert code == 2 and "d: found no annotations, expected images with VOC XML" in err and message in err


def test_names_are_in_the_one_yaml_file_of_any_name(tmp_path, call):
    folder = labeled(tmp_path / "d")
    (folder / "coco8.yml").write_text("names:\n  0: cat\n  1: dog\n")
    assert call("split", folder, "--out", tmp_path / "a")[0] == 0
    assert read_names(tmp_path / "a/d.names") == ["cat", "dog"]
    (folder / "other.yaml").write_text("names: [a, b]\n")  # now it is uncertain which one is meant
    assert "class names: none found" in call("split", folder, "--out", tmp_path / "b")[1]


def test_a_wrong_path_in_a_data_file_is_named_with_its_line(tmp_path, call):
    (tmp_path / "obj.data").write_text("classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n")
    code, _, err = call("split", tmp_path / "obj.data", "--out", tmp_path / "out")
    assert code == 2 and f"{tmp_path}/obj.data:2: train: found 'data/train.txt', expected a file that is there" in err


def test_the_data_file_that_cvat_exports_is_read_where_it_is(tmp_path, call, caplog):
    labeled(tmp_path / "cvat/obj_train_data", 6)
    (tmp_path / "cvat/obj.names").write_text("cat\ndog\n")
    text = "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"
    (tmp_path / "cvat/obj.data").write_text(text)
    rows = [f"data/obj_train_data/{at:03}.jpg\n" for at in range(6)]
    (tmp_path / "cvat/train.txt").write_text("".join(rows))
    assert call("split", tmp_path / "cvat/obj.data", "--out", tmp_path / "out")[0] == 0
    for line in (
        f"obj.data:2: train: found 'data/train.txt', read as {tmp_path}/cvat/train.txt",
        f"train.txt:1: found {rows[0].strip()}, which is not there; read as {tmp_path}/cvat/obj_train_data/",
    ):
        assert line in caplog.text
    listed = (tmp_path / "out/train.txt").read_text() + (tmp_path / "out/valid.txt").read_text()
    assert sorted(listed.split()) == [f"{tmp_path}/cvat/obj_train_data/{at:03}.jpg" for at in range(6)]


@pytest.mark.parametrize(
    ("lists_in", "valid_name"), [("data", "test"), ("data", "valid"), ("", "Validation"), ("", "val")]
)
def test_lists_that_a_folder_holds_are_its_own_lists(tmp_path, call, lists_in, valid_name):
    labeled(tmp_path / "darknet/data/obj", 6)
    folder = tmp_path / "darknet" / lists_in
    (folder / "Train.txt").write_text("".join(f"data/obj/{at:03}.jpg\n" for at in (0, 1, 3)))
    (folder / f"{valid_name}.txt").write_text("data\\obj\\002.jpg\r\nC:\\x\\data\\obj\\004.jpg\r\n")
    (tmp_path / "darknet/data/obj.names").write_text("cat\ndog\n")
    code, out, _ = call("split", tmp_path / "darknet", "--out", tmp_path / "out")
    assert code == 0 and "not used: 1 image in none of " in out
    assert lists(tmp_path / "out") == (["000.jpg", "001.jpg", "003.jpg"], ["002.jpg", "004.jpg"])
    assert read_names(tmp_path / "out/darknet.names") == ["cat", "dog"]
    assert call("split", tmp_path / "darknet", "--split", 0.3, "--out", tmp_path / "other")[0] == 0
    assert sum(map(len, lists(tmp_path / "other"))) == 6


@pytest.mark.parametrize("name", ["images/classes.txt", "train/_darknet.labels", "data/obj.names", "a/b/data.yaml"])
def test_names_are_found_in_the_folders_below(tmp_path, call, name):
    labeled(tmp_path / "set/train", 4)
    path = tmp_path / "set" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("names: [cat, dog]\n" if name.endswith("yaml") else "cat\ndog\n")
    assert call("split", tmp_path / "set", "--out", tmp_path / "out")[0] == 0
    assert read_names(tmp_path / "out/set.names") == ["cat", "dog"]


def test_two_names_files_below_that_differ_stop_it(tmp_path, call):
    labeled(tmp_path / "set/train", 4)
    labeled(tmp_path / "set/valid", 4)
    (tmp_path / "set/train/_darknet.labels").write_text("cat\ndog\n")
    (tmp_path / "set/valid/_darknet.labels").write_text("dog\ncat\n")
    code, _, err = call("split", tmp_path / "set", "--out", tmp_path / "out")
    assert code == 2 and not (tmp_path / "out").exists()
    assert (
        "valid/_darknet.labels: found other classes than in " in err and "expected the same; choose with --names" in err
    )
    assert (
        call("split", tmp_path / "set", "--names", tmp_path / "set/train/_darknet.labels", "--out", tmp_path / "out")[0]
        == 0
    )


def test_lists_of_a_folder_name_its_own_images_not_those_of_the_current_folder(tmp_path, call, monkeypatch):
    monkeypatch.chdir(labeled(tmp_path / "here", 6, "images", "labels").resolve())
    there = labeled(tmp_path / "there", 6, "images", "labels")
    (there / "train.txt").write_text("".join(f"images/{at:03}.jpg\n" for at in range(4)))
    (there / "valid.txt").write_text("images/004.jpg\nimages/005.jpg\n")
    assert call("split", there, "--out", tmp_path / "out")[0] == 0
    listed = [line for each in ("train", "valid") for line in (tmp_path / f"out/{each}.txt").read_text().split()]
    assert listed == [f"{there}/images/{at:03}.jpg" for at in range(6)]


def test_rows_of_a_folders_lists_whose_image_is_gone_are_left_out_and_counted(tmp_path, call):
    folder = labeled(tmp_path / "set", 6)
    (folder / "train.txt").write_text("000.jpg\n007.jpg\n001.jpg\n008.jpg\n")
    (folder / "val.txt").write_text("002.jpg\n")
    code, out, _ = call("split", folder, "--out", tmp_path / "out")
    assert code == 0 and lists(tmp_path / "out") == (["000.jpg", "001.jpg"], ["002.jpg"])
    assert f"not used: 2 rows of {folder}/train.txt, val.txt without an image (such as {folder}/007.jpg)" in out


@pytest.mark.parametrize("longer", ["train", "valid"])
def test_names_that_grow_from_folder_to_folder_are_those_of_the_longest_list(tmp_path, call, longer):
    for each in ("train", "valid"):
        labeled(tmp_path / "set" / each, 4)
        (tmp_path / "set" / each / "classes.txt").write_text("cat\ndog\nowl\n" if each == longer else "cat\ndog\n")
    assert call("split", tmp_path / "set", "--out", tmp_path / "out")[0] == 0
    assert read_names(tmp_path / "out/set.names") == ["cat", "dog", "owl"]
