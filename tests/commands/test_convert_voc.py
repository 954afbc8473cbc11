"""The command convert_voc with common layouts of folders: its files and its output."""

import os
from pathlib import Path

import pytest
from PIL import Image

from tests.data.convert.test_voc import CAT, CAT_LABEL, DOG, annotation
from yolo.data_file import read_data
from yolo.formats.label_files import read_list


def flat(folder, count=10, ending=".jpg", images="images", annotations="annotations"):
    for at in range(count):
        for inner in (images, annotations):
            (folder / inner).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (100, 80)).save(folder / images / f"{at}{ending}")
        (folder / annotations / f"{at}.xml").write_text(annotation([CAT, ("bird", (1, 1, 9, 9), 0)][: 1 + at % 2]))
    return folder


def rows(out):
    return [line.split() for line in out.splitlines()]


@pytest.mark.parametrize(
    ("images", "annotations", "ending"),
    [
        (".", ".", ".JPG"), ("images", "annots", ".bmp"), ("JPEGImages", "Annotations", ".tif"),
        ("images", "labels", ".webp"), ("images/a", "annotations/a", ".jpeg"),
    ],
)  # fmt: skip
def test_a_folder_becomes_lists_labels_and_a_data_file(tmp_path, call, images, annotations, ending):
    folder = flat(tmp_path / "flowers", 10, ending, images, annotations)
    code, out, err = call("convert_voc", folder, "--out", tmp_path / "out", "--split", 0.2)
    assert (code, err) == (0, "")
    data = read_data(tmp_path / "out")
    assert (Path(data.path), data.name, data.classes) == (tmp_path / "out/voc.data", "flowers", 2)
    train, valid = read_list(data.train), read_list(data.valid)
    assert len(train) + len(valid) == 10 and len(valid) in range(1, 6)
    assert ["images", str(len(train)), str(len(valid))] in rows(out) and f"--data {data.path}" in out
    for image in train + valid:
        assert image.suffix == ending and image.is_file()
        label = Path(str(image).replace("JPEGImages", "labels").replace("/images/", "/labels/")).with_suffix(".txt")
        assert label.read_text().splitlines()[0] == f"1 {CAT_LABEL}"


def test_without_a_valid_list_everything_is_trained_on_and_that_is_said(tmp_path, call):
    code, out, _ = call("convert_voc", flat(tmp_path / "d"), "--out", tmp_path / "out")
    data = read_data(tmp_path / "out/voc.data")
    assert code == 0 and (data.valid, data.difficult, len(read_list(data.train))) == (None, None, 10)
    assert "no valid list: training computes no score and keeps no best weights; --split 0.2 scores on a fifth" in out
    assert ["images", "10"] in rows(out) and not (tmp_path / "out/valid.txt").exists()


def test_more_images_move_none_in_another_folder_of_lists(tmp_path, call):
    few, more = flat(tmp_path / "few", 20), flat(tmp_path / "more", 60)
    for folder in (few, more):
        assert call("convert_voc", folder, "--split", 0.3, "--out", f"{folder}-out")[0] == 0
    for split in ("train", "valid"):
        names = [{path.stem for path in read_list(f"{folder}-out/{split}.txt")} for folder in (few, more)]
        assert names[0] < names[1]


@pytest.mark.parametrize("out", ["b", "elsewhere/c"])
@pytest.mark.parametrize("images", ["images", "."])
def test_an_image_that_was_moved_for_its_class_stays_when_more_images_come(tmp_path, call, images, out):
    folder = flat(tmp_path / "d", 12, images=images, annotations=images)
    assert "moved, so that" in call("convert_voc", folder, "--split", 0.1, "--seed", 8, "--out", tmp_path / "a")[1]
    before = {path.stem for path in read_list(tmp_path / "a/valid.txt")}
    for at in range(12, 60):  # by their hashes alone, some of these would stand for the classes
        (folder / images / f"{at}.jpg").write_bytes((folder / images / "0.jpg").read_bytes())
        (folder / images / f"{at}.xml").write_text((folder / images / "1.xml").read_text())
    assert call("convert_voc", folder, "--split", 0.1, "--seed", 8, "--out", tmp_path / out)[0] == 0
    later = {path.stem for path in read_list(tmp_path / out / "valid.txt")}
    found = images == "images" or "/" not in out  # else nothing leads to the record of the first conversion
    assert ({stem for stem in later if int(stem) < 12} == before) is found and len(later) > len(before)
    other = call("convert_voc", folder, "--split", 0.1, "--seed", 3, "--out", tmp_path / "another seed")[1]
    assert "moved, so that" not in other


def test_folders_may_be_train_and_valid_and_sets_may_be_split(tmp_path, call):
    train, valid = flat(tmp_path / "a/train", 4), flat(tmp_path / "b/valid", 3)
    assert call("convert_voc", "--train", train, "--valid", valid, "--out", tmp_path / "one")[0] == 0
    assert [len(read_list(tmp_path / f"one/{split}.txt")) for split in ("train", "valid")] == [4, 3]
    (train / "ImageSets/Main").mkdir(parents=True)
    (train / "ImageSets/Main/all.txt").write_text("0.jpg\n1\n2 1\n3\n")
    done = call("convert_voc", "--train", f"{train}:all", "--split", 0.5, "--out", tmp_path / "two")
    assert done[0] == 0 and sum(len(read_list(tmp_path / f"two/{split}.txt")) for split in ("train", "valid")) == 4


def test_boxes_over_the_border_are_counted_and_bad_objects_skipped_alone(tmp_path, call):
    folder = flat(tmp_path / "d", 2)
    half, bad = ("cat", (-9, 21, 12, 61), 0), ("cat", (5, 5, 9, 9), "sometimes")
    (folder / "annotations/0.xml").write_text(annotation([half, CAT, bad]))
    code, out, err = call("convert_voc", folder, "--out", tmp_path / "out")
    assert code == 2 and err.startswith("error: 1 x unusable object, nothing was written: ")
    code, out, err = call("convert_voc", folder, "--out", tmp_path / "out", "--on-problem", "skip")
    assert (code, err) == (0, "") and ["clipped", "1"] in rows(out) and ["left", "out", "1"] in rows(out)
    assert "repaired or unusual: 1 x box cut at the border" in out
    cut, whole = (folder / "labels/0.txt").read_text().splitlines()
    assert list(map(float, cut.split())) == pytest.approx([1, 0.055, 0.5, 0.11, 0.5]) and whole == f"1 {CAT_LABEL}"


def test_turned_images_are_counted(tmp_path, call):
    folder = flat(tmp_path / "d", 2)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 80)).save(folder / "images/0.jpg", exif=exif)
    code, out, _ = call("convert_voc", folder, "--out", tmp_path / "out")
    assert code == 0 and ["turned", "1"] in rows(out) and "1 x image turned by its EXIF data, boxes too" in out
    # by hand: turned clockwise, x = 80 - y: 20 to 60 of 80; y = x: 10 to 30 of 100
    assert list(map(float, (folder / "labels/0.txt").read_text().split())) == pytest.approx([1, 0.5, 0.2, 0.5, 0.2])


@pytest.mark.parametrize("ending", [".bmp", ".tif", ".webp", ".PNG"])
def test_an_image_set_lists_the_files_that_are_there(tmp_path, call, ending):
    folder = flat(tmp_path / "VOC", 3, ending, "JPEGImages", "Annotations")
    (folder / "ImageSets/Main").mkdir(parents=True)
    (folder / "ImageSets/Main/all.txt").write_text("0\n1\n2\n")
    sets = ("--train", f"{folder}:all", "--out", tmp_path / "out")
    assert call("convert_voc", *sets)[0] == 0
    assert [path.name for path in read_list(tmp_path / "out/train.txt")] == [f"{at}{ending}" for at in range(3)]
    for at in range(3):
        (folder / f"JPEGImages/{at}{ending}").unlink()
    code, _, err = call("convert_voc", *sets)
    assert code == 2 and f"found none of the 3 images in {folder}/JPEGImages, nothing was written" in err


def test_names_that_are_not_utf_8_pass_through(tmp_path, call):
    name = os.fsdecode(b"caf\xe9")
    folder = tmp_path / "d"
    folder.mkdir()
    Image.new("RGB", (100, 80)).save(folder / f"{name}.png")
    (folder / f"{name}.xml").write_text(annotation([CAT]))
    assert call("convert_voc", folder, "--out", tmp_path / "out")[0] == 0
    (listed,) = (tmp_path / "out/train.txt").read_bytes().splitlines()
    assert listed.endswith(b"/JPEGImages/caf\xe9.png") and os.path.isfile(listed)
    assert os.path.isfile(listed.replace(b"JPEGImages", b"labels").replace(b".png", b".txt"))


def test_images_without_an_annotation_and_lists_not_used_are_reported(tmp_path, call):
    for split in ("train", "valid", "test"):
        flat(tmp_path / "d" / split, 2, images=".", annotations=".")
    Image.new("RGB", (9, 9)).save(tmp_path / "d/train/more.jpg")
    code, out, _ = call("convert_voc", tmp_path / "d", "--out", tmp_path / "out", "--name", "cells")
    assert code == 0 and ["images", "2", "2"] in rows(out) and read_data(tmp_path / "out").name == "cells"
    assert f"images without an annotation, left out: 1 (such as {tmp_path}/d/train/more.jpg)" in out
    assert f"not used: {tmp_path}/d/test (2 images)" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "found neither DIR nor --train"),
        (["nowhere"], "nowhere: no such folder"),
        (["d:train"], "d:train: no such folder; DIR:SET goes after --train or --valid"),
        (["d", "--split", "0"], "found '0', expected a number above 0 and below 1"),
        (["d", "--split", "x"], "found 'x', expected a number above 0 and below 1"),
        (["d", "--split", "100%"], "found '100%', expected a number above 0 and below 1"),
        (["d", "--split", ".2", "--valid", "d"], "found --valid and --split, expected one of them"),
        (["--train", "d:nothing"], "nothing.txt: no such image set; d/ImageSets/Main has none"),
        (["--train", "d"], None),
    ],
)
def test_a_wrong_command_line_is_reported(tmp_path, call, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    flat(tmp_path / "d", 2)
    code, _, err = call("convert_voc", *arguments, "--out", "out")
    assert code == (0 if message is None else 2) and (message or "") in err.replace(f"{tmp_path}/", "")
    assert (tmp_path / "out").exists() == (message is None)


def test_difficult_objects_of_a_folder_are_listed_apart(tmp_path, call):
    folder = flat(tmp_path / "d", 8)
    for path in (folder / "annotations").iterdir():
        path.write_text(annotation([CAT, DOG]).replace("<difficult>1", "<difficult>Yes"))
    code, out, _ = call("convert_voc", folder, "--split", 0.3, "--out", tmp_path / "out")
    data = read_data(tmp_path / "out")
    assert code == 0 and len(read_list(data.difficult)) == len(read_list(data.valid))
    assert rows(out)[2:5] == [["cat", *map(str, counts(data))], ["dog", "0", "0"], ["objects", *map(str, counts(data))]]


def counts(data):
    return len(read_list(data.train)), len(read_list(data.valid))


def test_xml_of_other_programs_without_an_image_is_left_out_and_named(tmp_path, call):
    folder = flat(tmp_path / "d")
    (folder / "haarcascade.xml").write_text("<opencv_storage/>")
    code, out, _ = call("convert_voc", folder, "--out", tmp_path / "out")
    assert code == 0 and ["images", "10"] in rows(out)
    assert (
        "left out: 1 x XML that is no annotation and has no image" in out
        and "haarcascade.xml: the outermost element is" in out
    )
    (folder / "images/haarcascade.jpg").touch()  # with an image it is a broken annotation
    code, _, err = call("convert_voc", folder, "--out", tmp_path / "other")
    assert code == 2 and "1 x unusable annotation, nothing was written: " in err


def test_a_folder_without_any_annotation_says_what_its_xml_is(tmp_path, call):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/0.jpg").touch()
    (tmp_path / "d/annotations.xml").write_text("<annotations/>")
    code, _, err = call("convert_voc", tmp_path / "d", "--out", tmp_path / "out")
    assert code == 2 and "CVAT for images writes this" in err
