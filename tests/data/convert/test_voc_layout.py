"""yolo.data.convert.voc_layout: which image belongs to which annotation, in the layouts that programs write."""

from pathlib import Path

import pytest

from yolo.data.convert.ownership import RECORD
from yolo.data.convert.voc_layout import find_pairs, read_folder, read_sets
from yolo.errors import DatasetError
from yolo.formats.voc_xml import ImageSet


def files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def pairs(folder, whole=False):
    """Annotation → image, relative to the folder, of the lists to train and to score on."""
    source = read_folder(folder, whole)
    return tuple({short(folder, each.annotation): short(folder, each.image) for each in entries} for entries in
                 (source.train, source.valid))  # fmt: skip


def short(folder, path):
    return path and path.removeprefix(f"{folder}/")


@pytest.mark.parametrize(
    ("annotation", "image"),
    [
        ("a.xml", "a.jpg"),
        ("annotations/a.xml", "images/a.JPG"),
        ("annots/a.xml", "images/a.png"),
        ("Annotations/a.xml", "JPEGImages/a.bmp"),
        ("labels/a.xml", "images/a.tif"),
        ("xml/deep/a.xml", "images/deep/a.webp"),
        ("some/where/a.XML", "else/where/a.tiff"),
        ("annotations/a.jpg.xml", "images/a.jpg"),
        ("Annotations/a b.c.xml", "JPEGImages/a b.c.jpeg"),
    ],
)
def test_an_image_is_found_in_every_layout_that_programs_write(tmp_path, annotation, image):
    files(tmp_path, annotation, image, "images/classes.txt", "._a.xml", ".git/x.xml")
    assert pairs(tmp_path) == ({annotation: image}, {})


def test_images_of_one_name_are_distinguished_by_their_folders(tmp_path):
    files(tmp_path, "annotations/u/1.xml", "annotations/v/1.xml", "images/u/1.jpg", "images/v/1.jpg", "images/w/1.jpg")
    assert pairs(tmp_path)[0] == {f"annotations/{each}/1.xml": f"images/{each}/1.jpg" for each in "uv"}
    entries, unannotated = find_pairs(tmp_path)
    assert unannotated == (f"{tmp_path}/images/w/1.jpg",)
    assert [entry.key for entry in entries] == ["u/1", "v/1"]


def test_an_image_beside_its_annotation_goes_first_and_of_two_endings_jpg(tmp_path):
    files(tmp_path, "1.xml", "1.png", "1.jpg", "images/1.jpg")
    assert pairs(tmp_path)[0] == {"1.xml": "1.jpg"}


def test_an_image_of_other_letter_case_is_taken_if_it_is_the_only_one(tmp_path):
    files(tmp_path, "annotations/dog.xml", "images/DOG.jpg", "annotations/cat.xml", "images/CAT.jpg", "images/Cat.jpg")
    assert {entry.annotation: entry.is_there for entry in read_folder(tmp_path, False).train} == {
        f"{tmp_path}/annotations/dog.xml": True, f"{tmp_path}/annotations/cat.xml": False
    }  # fmt: skip


def test_an_image_that_could_be_of_another_folder_is_not_taken(tmp_path):
    files(tmp_path, "annotations/1.xml", "images/u/1.jpg", "images/v/1.jpg")
    (entry,) = read_folder(tmp_path, False).train
    assert not entry.is_there


def test_roboflow_folders_are_lists_unless_everything_is_wanted(tmp_path):
    files(tmp_path, *(f"{split}/{split}.{end}" for split in ("train", "valid", "test") for end in ("xml", "jpg")))
    assert pairs(tmp_path) == ({"train/train.xml": "train/train.jpg"}, {"valid/valid.xml": "valid/valid.jpg"})
    assert read_folder(tmp_path, False).unused == (f"{tmp_path}/test (1 image)",)
    assert len(pairs(tmp_path, whole=True)[0]) == 3 and not pairs(tmp_path, whole=True)[1]


def test_lists_may_be_folders_inside_images_and_annotations(tmp_path):
    files(tmp_path, "images/train/1.jpg", "images/val/2.jpg", "annotations/train/1.xml", "annotations/val/2.xml")
    assert pairs(tmp_path) == (
        {"annotations/train/1.xml": "images/train/1.jpg"},
        {"annotations/val/2.xml": "images/val/2.jpg"},
    )


def test_test_is_scored_on_where_there_is_no_valid(tmp_path):
    files(tmp_path, "train/1.xml", "train/1.jpg", "test/2.xml", "test/2.jpg")
    assert pairs(tmp_path)[1] == {"test/2.xml": "test/2.jpg"}


def pascal(folder, **sets):
    for name, rows in sets.items():
        files(folder, f"ImageSets/Main/{name}.txt")
        (folder / f"ImageSets/Main/{name}.txt").write_text("".join(f"{row}\n" for row in rows))
        for row in rows:
            files(folder, f"Annotations/{row}.xml", f"JPEGImages/{row}.jpg")
    return folder


def test_the_image_sets_of_a_folder_are_its_lists(tmp_path):
    pascal(tmp_path, train=["1"], val=["2"], trainval=["1", "2"], test=["3"])
    train, valid = pairs(tmp_path)
    assert (list(train), list(valid)) == (["Annotations/1.xml"], ["Annotations/2.xml"])
    assert read_folder(tmp_path, False).unused == (f"{tmp_path}:trainval", f"{tmp_path}:test")
    assert len(pairs(tmp_path, whole=True)[0]) == 3


def test_the_folders_of_a_devkit_are_taken_together(tmp_path):
    pascal(tmp_path / "VOC2007", trainval=["1"], test=["2"])
    pascal(tmp_path / "VOC2012", train=["3"], val=["4"])
    train, valid = pairs(tmp_path)
    assert [*train, *valid] == [f"VOC{year}/Annotations/{number}.xml" for year, number in
                                ((2007, 1), (2012, 3), (2007, 2), (2012, 4))]  # fmt: skip


def test_the_folders_of_a_devkit_may_be_one_level_lower(tmp_path):
    pascal(tmp_path / "VOCdevkit/VOC2012", train=["1"], val=["2"])
    files(tmp_path, "VOCdevkit/VOC2012/SegmentationClass/1.png")
    found = [[Path(name).stem for name in each] for each in pairs(tmp_path)]
    assert found == [["1"], ["2"]] and read_folder(tmp_path, False).unannotated == ()


def test_cvats_default_set_has_rows_with_folders(tmp_path):
    pascal(tmp_path, default=["cam/1", "2"])
    assert pairs(tmp_path) == (
        {"Annotations/cam/1.xml": "JPEGImages/cam/1.jpg", "Annotations/2.xml": "JPEGImages/2.jpg"},
        {},
    )
    (first, _), problems = read_sets([ImageSet(tmp_path, "default")])
    assert (first.folder, first.name, problems) == (tmp_path / "JPEGImages/cam", "1.jpg", ())


def class_lists(folder, **rows):
    for name, text in rows.items():
        (folder / f"ImageSets/Main/{name}.txt").write_text(text)


def test_lists_of_one_class_beside_the_list_of_all_images_are_no_other_sets(tmp_path):
    pascal(tmp_path, default=["1", "cam/2", "3"])  # CVAT's export; image 3 has no object
    class_lists(tmp_path, cat_default="1  1\ncam/2 -1\n", red_fox_default="1 -1\ncam/2  1\n")
    assert list(pairs(tmp_path)[0]) == ["Annotations/1.xml", "Annotations/cam/2.xml", "Annotations/3.xml"]
    assert read_folder(tmp_path, False).problems == ()


def test_lists_of_one_class_without_a_list_of_all_images_are_taken_together(tmp_path):
    pascal(tmp_path, cat_train=["shot 1", "2"], cat_val=["3", "4"])  # VoTT's export has endings and no last newline
    class_lists(tmp_path, cat_train="shot 1.jpg 1\n2.jpg -1", dog_train="shot 1.jpg -1\n2.jpg 0")
    class_lists(tmp_path, cat_val="3.jpg -1", dog_val="3.jpg 1\n4.jpg 1")
    train, valid = pairs(tmp_path)
    assert (list(train), list(valid)) == (["Annotations/shot 1.xml", "Annotations/2.xml"],
                                          ["Annotations/3.xml", "Annotations/4.xml"])  # fmt: skip
    assert read_folder(tmp_path, False).problems == ()


@pytest.mark.parametrize("scored", ["val", "valid", "test"])
def test_lists_of_one_class_may_have_each_name_of_a_set(tmp_path, scored):
    pascal(tmp_path, **{"cat_train": ["1"], "dog_train": ["2"], f"cat_{scored}": ["3"], f"dog_{scored}": ["4"]})
    train, valid = pairs(tmp_path)
    assert (list(train), list(valid)) == ([f"Annotations/{number}.xml" for number in (1, 2)],
                                          [f"Annotations/{number}.xml" for number in (3, 4)])  # fmt: skip


def test_what_conversions_wrote_into_the_folder_is_not_read(tmp_path):
    files(tmp_path, "1.xml", "1.jpg", f"out/{RECORD}")
    (tmp_path / "out/x").mkdir()
    (tmp_path / "out/x/JPEGImages").symlink_to(tmp_path)
    files(tmp_path, "out/x/labels/1.xml", "loop/y")
    (tmp_path / "loop/again").symlink_to(tmp_path)
    assert pairs(tmp_path)[0] == {"1.xml": "1.jpg"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.jpg"], "found no annotation .xml in or below this folder .0 XML files, 1 image"),
        (["a.xml"], "found no image .* in or below this folder .1 XML file, 0 images"),
    ],
)
def test_a_folder_without_one_or_the_other_is_an_error(tmp_path, names, message):
    with pytest.raises(DatasetError, match=message.replace(" .xml ", r" \(.xml\) ")):
        read_folder(files(tmp_path, *names), False)


def test_an_image_of_other_letter_case_is_not_that_of_two_annotations(tmp_path):
    files(tmp_path, "dog.xml", "DOG.xml", "dog.jpg")
    assert {entry.annotation: entry.is_there for entry in read_folder(tmp_path, False).train} == {
        f"{tmp_path}/dog.xml": True, f"{tmp_path}/DOG.xml": False
    }  # fmt: skip
