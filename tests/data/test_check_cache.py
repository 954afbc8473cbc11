"""yolo.data.check_cache: a second check reads only changed files, and has the result of a full check."""

import os

import numpy as np
import pytest

from tests.helpers.tiny_data import FOUR_IMAGES, draw, label_lines, write_image
from yolo.data import check, check_cache
from yolo.data.check import BAD_LABEL, BROKEN_IMAGE, MISSING_IMAGE, TWO_LABEL_FILES, check_list


@pytest.fixture(autouse=True)
def _short_lists_are_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(check, "LEAST_ENTRIES", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


@pytest.fixture
def checked(four, monkeypatch):
    """checked(**how) → the checked list, and the names of the images that were read."""
    read = []
    whole = check._check

    def spy(path, *rest):
        read.append(path.name)
        return whole(path, *rest)

    monkeypatch.setattr(check, "_check", spy)

    def call(**how):
        read.clear()
        found = check_list(four.folder / "list.txt", **{"classes": 2, "channels": 3} | how)
        return found, sorted(read)

    return call


def plain(found):
    images = [
        (image.path, image.size, image.labels, image.lines, image.ground_truth.boxes.tolist(),
         image.ground_truth.labels.tolist(), image.difficult.boxes.tolist())
        for image in found.images
    ]  # fmt: skip
    return images, found.problems, found.warnings


def same_as_all_read(checked):
    """Check again and check everything; they agree. Return what the former read."""
    found, read = checked()
    assert plain(found) == plain(checked(recheck=True)[0])
    return read


ALL = ["p0.png", "p1.png", "p2.png", "p3.png"]


def test_the_second_check_reads_no_file_and_finds_the_same(four, checked):
    (four.folder / "labels" / "p3.txt").write_text("0 .5 .5 .1 .1\n7 .5 .5 .1 .1\n")
    four.images[1].write_bytes(b"broken")
    first, read = checked()
    assert read == ALL and [problem.kind for problem in first.problems] == [BROKEN_IMAGE, BAD_LABEL]
    second, read = checked()
    assert read == []
    assert plain(second) == plain(first)


def test_only_what_has_changed_is_read_again(four, checked):
    labels = four.folder / "labels"
    checked()
    (labels / "p2.txt").write_text("1 .5 .5 .25 .5\n")
    assert same_as_all_read(checked) == ["p2.png"]
    four.images[0].unlink()
    assert same_as_all_read(checked) == ["p0.png"]
    assert [problem.kind for problem in checked()[0].problems] == [MISSING_IMAGE]
    write_image(four.images[0], draw(FOUR_IMAGES[1]))
    (four.folder / "images" / "p3.txt").write_text("")  # the other place of a label file
    assert same_as_all_read(checked) == ["p0.png", "p3.png"]
    assert [warning.kind for warning in checked()[0].warnings] == [TWO_LABEL_FILES]


def test_a_list_in_another_order_and_with_a_new_image_reads_the_new_one(four, checked):
    listed = four.folder / "list.txt"
    checked()
    write_image(four.folder / "images" / "new.png", draw(FOUR_IMAGES[0]))
    lines = listed.read_text().splitlines()
    listed.write_text("\n".join([lines[2], f"{four.folder}/images/new.png", lines[0], lines[0]]))
    assert same_as_all_read(checked) == ["new.png"]
    assert [image.path.name for image in checked()[0].images] == ["p2.png", "new.png", "p0.png", "p0.png"]


def test_other_classes_channels_or_difficult_boxes_are_another_check(four, checked):
    aside = four.folder / "difficult"
    (aside / "labels").mkdir(parents=True)
    for index in range(4):
        (aside / "labels" / f"p{index}.txt").write_text("")
    listed = four.folder / "difficult.txt"
    listed.write_text("".join(f"{aside}/images/p{index}.png\n" for index in range(4)))
    checked()
    for how in ({"classes": 1}, {"channels": 1}, {"difficult": listed}):
        assert checked(**how)[1] == ALL
        assert checked(**how)[1] == []
    (aside / "labels" / "p1.txt").write_text(label_lines(FOUR_IMAGES[0]))
    found, read = checked(difficult=listed)
    assert read == ["p1.png"]
    assert [len(image.difficult.labels) for image in found.images] == [0, 1, 0, 0]


def test_a_change_that_keeps_size_and_time_needs_recheck(four, checked):
    checked()
    before = four.images[0].stat()
    four.images[0].write_bytes(b"x" * before.st_size)
    os.utime(four.images[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert checked()[0].problems == ()
    assert [problem.kind for problem in checked(recheck=True)[0].problems] == [BROKEN_IMAGE]
    assert [problem.kind for problem in checked()[0].problems] == [BROKEN_IMAGE]  # and it is kept


def test_another_limit_of_pixels_is_another_check(checked, monkeypatch):
    checked()
    monkeypatch.setenv("YOLO_MAX_PIXELS", "3000")  # images have 64 x 48
    found, read = checked()
    assert read == ALL and len(found.images) == 0


def test_other_rules_read_everything_again(checked, monkeypatch):
    checked()
    monkeypatch.setattr(check_cache, "_rules", lambda: b"another version")
    assert checked()[1] == ALL


def test_the_rules_are_the_source_of_all_readers_of_images_and_labels():
    names = {path.name for path in check_cache.RULES}
    assert {"check.py", "images.py", "labeled_images.py", "check_cache.py", "label_files.py"} <= names


def test_a_damaged_file_is_ignored_and_replaced(four, checked):
    kept = four.folder / "list.txt.checked"
    whole_result = plain(checked()[0])
    whole = kept.read_bytes()
    damaged = [whole[:100], whole[:-1], whole[: len(whole) // 2] + whole[len(whole) // 2 + 1 :], b"PK", b"PK\3\4" * 99]
    rng = np.random.default_rng(0)
    for place in rng.integers(4, len(whole), size=40):
        damaged.append(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
    for content in damaged:
        kept.write_bytes(content)
        assert plain(checked()[0]) == whole_result
    kept.write_bytes(b"PK")
    assert checked()[1] == ALL and checked()[1] == []


def test_the_users_own_file_of_that_name_is_left_alone(four, checked, tmp_path):
    own = four.folder / "list.txt.checked"
    own.write_text("my notes\n")
    assert checked()[1] == ALL and checked()[1] == []
    assert own.read_text() == "my notes\n"
    assert len(list((tmp_path / "user" / "yolo-darknet" / "checked").glob("list.txt-*.checked"))) == 1


def test_a_read_only_folder_has_its_file_in_the_users_cache(four, checked, tmp_path):
    four.folder.chmod(0o555)
    try:
        assert checked()[1] == ALL and checked()[1] == []
        assert not (four.folder / "list.txt.checked").exists()
        user = tmp_path / "user"
        (kept,) = (user / "yolo-darknet" / "checked").iterdir()
        kept.unlink()
        user.chmod(0o555)
        assert plain(checked()[0]) == plain(checked()[0])  # nowhere to write to (root may): still a check
    finally:
        four.folder.chmod(0o755)
        (tmp_path / "user").chmod(0o755)


def test_a_short_list_leaves_no_file(four, checked, monkeypatch):
    monkeypatch.setattr(check, "LEAST_ENTRIES", 5)
    checked()
    assert checked()[1] == ALL
    assert not (four.folder / "list.txt.checked").exists()


def test_what_cannot_stand_beside_a_list_is_kept_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    listed = tmp_path / "list.txt"
    beside, aside = check_cache.kept_files(listed, ".checked")
    assert beside == tmp_path / "list.txt.checked"
    assert aside.parent == tmp_path / "user/yolo-darknet/checked"
    monkeypatch.delenv("XDG_CACHE_HOME")
    again = check_cache.kept_files(listed, ".checked")[1]
    assert again == tmp_path / "home/.cache/yolo-darknet/checked" / aside.name
