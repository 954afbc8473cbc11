"""Conversions replace no files of each other and no files made by hand (yolo.data.convert.ownership and homes)."""

import json
from pathlib import Path

import pytest

from tests.data.convert.test_voc import CAT, annotation
from yolo.data.convert.ownership import MANIFEST, RECORD
from yolo.data.convert.splitting import hash_of
from yolo.data_file import read_data
from yolo.names_file import read_names

DOG = ("dog", (1, 1, 100, 80), 0)


@pytest.fixture
def case(tmp_path, monkeypatch):
    """The current folder: flowers/ of images/ and annotations/, cat and dog; cat.names."""
    monkeypatch.chdir(tmp_path)
    for at in range(6):
        for inner, name, text in (("images", f"{at}.jpg", ""), ("annotations", f"{at}.xml", annotation([CAT, DOG]))):
            path = tmp_path / "flowers" / inner / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    (tmp_path / "dog.names").write_text("dog\n")
    return tmp_path


def tree(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


DOGS = ("--names", "dog.names", "--on-problem", "skip")


def convert(call, *arguments, out="one"):
    return call("convert_voc", "flowers", "--split", 0.3, "--out", out, *arguments)


def test_a_second_conversion_has_labels_of_its_own_and_the_first_ones_stay(case, call):
    assert convert(call)[0] == 0
    first = tree(case / "flowers")
    code, out, err = convert(call, *DOGS, out="two")
    assert (code, err) == (0, "") and f"{case}/one/voc.data relies on {case}/flowers/labels" in out
    assert {path: text for path, text in tree(case / "flowers").items() if path.name != MANIFEST} == {
        path: text for path, text in first.items() if path.name != MANIFEST
    }
    assert (case / "two/flowers/labels/1.txt").read_text().startswith("0 0.495 ")
    listed = Path((case / "two/train.txt").read_text().split()[0])
    assert listed.parent == case / "two/flowers/JPEGImages" and listed.is_file()
    assert read_names(read_data("one").names) == ["cat", "dog"]
    before = tree(case)
    assert convert(call, *DOGS, out="two")[0] == 0 and convert(call)[0] == 0  # again: nothing changes
    assert tree(case) == before


def test_an_own_conversion_with_other_labels_stops_without_overwrite(case, call):
    assert convert(call)[0] == 0
    before = tree(case)
    code, _, err = convert(call, *DOGS)
    assert code == 2 and err.count("\n") == 1 and tree(case) == before
    assert "flowers/labels/0.txt: found other labels, which this conversion wrote (6 files)" in err
    assert "--overwrite" in err
    assert convert(call, *DOGS, "--overwrite")[0] == 0
    assert (case / "flowers/labels/0.txt").read_text() == "0 0.495 0.49375 0.99 0.9875\n"


def test_hand_made_labels_stop_a_conversion_without_overwrite(case, call):
    (case / "flowers/labels").mkdir()
    (case / "flowers/labels/3.txt").write_text("0 .5 .5 .1 .1\n")
    before = tree(case)
    code, _, err = convert(call)
    assert code == 2 and "labels/3.txt: found other labels, which no conversion is known to have written" in err
    assert tree(case) == before
    assert convert(call, "--overwrite")[0] == 0
    assert (case / "flowers/labels/3.txt").read_text().startswith("0 0.2 0.5")


def test_a_label_that_was_changed_by_hand_stops_the_next_conversion(case, call):
    assert convert(call)[0] == 0
    (case / "flowers/labels/3.txt").write_text("0 .5 .5 .1 .1\n")
    assert convert(call)[0] == 2
    (case / "flowers/labels/3.txt").unlink()
    assert convert(call)[0] == 0  # a missing one is written again


def test_overwrite_never_changes_labels_that_another_conversion_uses(case, call):
    assert convert(call)[0] == 0 and convert(call, out="same")[0] == 0
    shared = tree(case / "flowers/labels")
    assert convert(call, *DOGS, "--overwrite")[0] == 0
    after = tree(case / "flowers/labels")
    assert {p: t for p, t in after.items() if p.suffix == ".txt"} == {
        p: t for p, t in shared.items() if p.suffix == ".txt"
    }
    assert "one/flowers/JPEGImages" in (case / "one/train.txt").read_text()


def test_an_interrupted_conversion_may_be_repeated_with_other_labels(case, call, monkeypatch):
    done = []

    def interrupted(file):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(file)
        Path(file[0]).write_text(file[1][:5])  # half a label

    with monkeypatch.context() as patch:
        patch.setattr("yolo.data.convert.plan._write_label_file", interrupted)
        assert convert(call)[0] == 130
    assert not (case / "one/voc.data").exists()
    assert convert(call)[0] == 0
    assert (case / "flowers/labels/0.txt").read_text().startswith("0 0.2 0.5 0.2 0.5\n1 ")


def test_more_images_are_added_without_an_option_and_none_moves(case, call):
    assert convert(call)[0] == 0
    before = {split: set((case / "one" / f"{split}.txt").read_text().split()) for split in ("train", "valid")}
    for at in range(6, 12):
        (case / f"flowers/images/{at}.jpg").touch()
        (case / f"flowers/annotations/{at}.xml").write_text(annotation([CAT]))
    assert convert(call)[0] == 0
    for split, lines in before.items():
        assert lines <= set((case / "one" / f"{split}.txt").read_text().split())
    assert len((case / "one/train.txt").read_text().split()) > len(before["train"])


def test_an_image_that_was_moved_for_a_rare_class_stays_when_more_images_come(case, call):
    def add(name):
        (case / f"flowers/images/{name}.jpg").touch()
        (case / f"flowers/annotations/{name}.xml").write_text(annotation([("rare", (11, 21, 31, 61), 0)]))

    high = [f"r{at}" for at in range(60) if hash_of(f"r{at}", 0) >= 0.3][:3]
    for name in high:
        add(name)
    assert convert(call)[0] == 0
    (moved,) = [name for name in high if f"/{name}.jpg" in (case / "one/valid.txt").read_text()]
    add(next(f"r{at}" for at in range(60) if hash_of(f"r{at}", 0) < 0.3))
    assert convert(call)[0] == 0
    assert f"/{moved}.jpg" in (case / "one/valid.txt").read_text()


def test_lists_that_a_person_made_or_changed_are_not_replaced(case, call):
    (case / "one").mkdir()
    (case / "one/voc.names").write_text("mine\n")
    before = tree(case)
    code, _, err = convert(call)
    assert code == 2 and "one/voc.names: found a file that this conversion did not write" in err
    assert tree(case) == before
    assert convert(call, "--overwrite")[0] == 0
    (case / "one/train.txt").write_text((case / "one/valid.txt").read_text())
    assert convert(call)[0] == 2


@pytest.mark.parametrize("damage", ["", "[]", '{"files": 3}', "{"])
def test_a_damaged_record_counts_as_none(case, call, damage):
    assert convert(call)[0] == 0
    (case / "one" / RECORD).write_text(damage)
    (case / "flowers/labels" / MANIFEST).write_text(damage)
    assert convert(call)[0] == 0  # everything is as it would be written
    assert json.loads((case / "one" / RECORD).read_text())["share"] == 0.3


def test_a_file_that_is_read_is_not_written(case, call):
    (case / "one").mkdir()
    (case / "one/train.txt").write_text("dog\n")
    code, _, err = convert(call, "--names", "one/train.txt")
    assert code == 2 and err.startswith("error: --out: ") and "would replace the input one/train.txt" in err
    assert convert(call)[0] == 2  # and not made by a conversion
    assert convert(call, "--overwrite")[0] == 0
    names = (case / "one/voc.names").read_text()
    assert convert(call, "--names", "one/voc.names")[0] == 0  # the same names are written back
    assert (case / "one/voc.names").read_text() == names
    code, _, err = convert(call, out="dog.names")
    assert code == 2 and "dog.names" in err and (case / "dog.names").read_text() == "dog\n"


def test_coco_refuses_to_write_over_its_json(case, call):
    (case / "coco.data").write_text("{}")
    code, _, err = call("convert_coco", "--train", "coco.data:flowers/images", "--out", ".")
    assert code == 2 and f"--out: {case}/coco.data would replace the input coco.data" in err
