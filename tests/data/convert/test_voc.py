"""yolo.data.convert.voc and its tool: every label correct, every problem reported, nothing half-written."""

import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from yolo.data.convert import voc as convert
from yolo.data.convert.conversion import Target, write_conversion
from yolo.data.convert.homes import label_homes
from yolo.data.convert.plan import LabelHome
from yolo.data.convert.voc import examine, plan_voc, unit_box
from yolo.data.convert.voc_layout import VocSource, read_sets
from yolo.data_file import read_data
from yolo.errors import DatasetError
from yolo.formats.label_files import read_rows
from yolo.formats.voc_xml import AnnotatedObject, ImageSet
from yolo.names_file import read_classes, read_names

CAT = ("cat", (11, 21, 31, 61), 0)
CAT_LABEL = "0.2 0.5 0.2 0.5"  # by hand in 100 x 80: (21 - 1)/100, (41 - 1)/80, 20/100, 40/80
DOG = ("dog", (1, 1, 100, 80), 1)
DOG_LABEL = "0.495 0.49375 0.99 0.9875"  # by hand: (50.5 - 1)/100, (40.5 - 1)/80, 99/100, 79/80


def annotation(objects, size=(100, 80)):
    text = "<annotation><size><width>{}</width><height>{}</height></size>".format(*size)
    for name, (xmin, ymin, xmax, ymax), difficult in objects:
        text += (
            f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>"
            f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
            "</bndbox></object>"
        )
    return text + "</annotation>"


def voc(folder, train=None, val=None):
    """A VOC folder; `train` and `val` map an image to its XML text."""
    train = {"1": annotation([CAT, DOG]), "2": annotation([])} if train is None else train
    val = {"3": annotation([DOG, CAT])} if val is None else val
    for part in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / part).mkdir(parents=True)
    for name, images in (("train", train), ("val", val)):
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(images))
        for identifier, text in images.items():
            (folder / "Annotations" / f"{identifier}.xml").write_text(text)
            (folder / "JPEGImages" / f"{identifier}.jpg").touch()
    return folder


@pytest.fixture
def tool(load_tool, call_tool):
    """tool(*arguments) → the exit code and what the command printed."""
    module = load_tool("convert_voc")

    def call(*arguments):
        returncode, stdout, stderr = call_tool(module, *arguments)
        return SimpleNamespace(returncode=returncode, stdout=stdout, stderr=stderr)

    return call


def converted(folder, out, names=None, keep_difficult=False, overwrite=False):
    """What the tool does when there is no problem."""
    plan = plan_voc(source(folder, folder), names)
    return plan, write_conversion(plan, Target(out, "voc", "voc", overwrite, keep_difficult), None)


def source(train, valid):
    """Image set `train` of one folder and `val` of another."""
    lists = [read_sets([ImageSet(folder, name)]) for folder, name in ((train, "train"), (valid, "val"))]
    return VocSource(lists[0][0], lists[1][0], (*lists[0][1], *lists[1][1]))


def home_in(folder):
    return LabelHome(folder / "JPEGImages", folder / "labels", folder / "difficult")


def tree(*folders):
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def problem_kinds(text, names=None):
    found = examine((str(text), None), names)
    return found.objects, [problem.kind for problem in found.problems]


def test_the_box_is_the_one_of_voc_label():
    item = AnnotatedObject("cat", 48, 240, 195, 371, False)  # 000001.xml, in 353 x 500
    # recorded: the first row of voc2007_test_labels.npz
    expected = (0.34135977337110479, 0.609, 0.41643059490084988, 0.262)
    assert unit_box(item, 353, 500) == pytest.approx(expected, abs=1e-15)


def test_labels_lie_beside_the_images_and_lists_name_them(tmp_path):
    folder, out = voc(tmp_path / "voc"), tmp_path / "out"
    converted(folder, out)
    labels = folder / "labels"
    assert (labels / "1.txt").read_text() == f"0 {CAT_LABEL}\n"
    assert (labels / "2.txt").read_text() == ""
    assert (labels / "3.txt").read_text() == f"0 {CAT_LABEL}\n"
    images = folder / "JPEGImages"
    assert (out / "train.txt").read_text() == f"{images}/1.jpg\n{images}/2.jpg\n"
    assert (out / "valid.txt").read_text() == f"{images}/3.jpg\n"


def test_difficult_objects_of_valid_are_kept_apart(tmp_path):
    folder, out = voc(tmp_path / "voc"), tmp_path / "out"
    converted(folder, out)
    apart = folder / "difficult"
    assert (out / "difficult.txt").read_text() == f"{apart}/JPEGImages/3.jpg\n"
    assert tree(apart) == {apart / "labels" / "3.txt": f"1 {DOG_LABEL}\n".encode()}


def test_difficult_objects_can_be_ordinary(tmp_path):
    folder, out = voc(tmp_path / "voc"), tmp_path / "out"
    converted(folder, out)
    converted(folder, out, keep_difficult=True, overwrite=True)
    label = (folder / "labels" / "3.txt").read_text()
    assert label == f"1 {DOG_LABEL}\n0 {CAT_LABEL}\n"
    assert not (out / "difficult.txt").exists()
    assert read_data(out / "voc.data").difficult is None


def test_the_data_file_is_ready_for_training(tmp_path):
    out = tmp_path / "out"
    converted(voc(tmp_path / "my voc"), out)
    data = read_data(out / "voc.data")
    assert (data.classes, data.train, data.valid) == (2, out / "train.txt", out / "valid.txt")
    assert (data.names, data.difficult) == (out / "voc.names", out / "difficult.txt")
    assert data.backup == out / "backup" and data.backup.is_dir()
    assert read_names(data.names) == ["cat", "dog"]


def test_given_names_keep_their_order(tmp_path):
    folder, out = voc(tmp_path / "voc"), tmp_path / "out"
    converted(folder, out, names=("emu", "dog", "cat"))
    assert (folder / "labels" / "1.txt").read_text() == f"2 {CAT_LABEL}\n"
    assert (out / "voc.names").read_text() == "emu\ndog\ncat\n"
    (tmp_path / "twice.names").write_text("cat\ndog\ncat\n")
    with pytest.raises(DatasetError, match=r"twice.names:3: 'cat' is line 1 already"):
        read_classes(tmp_path / "twice.names")


def test_the_suffix_is_the_one_on_disk_and_jpg_where_there_is_none(tmp_path):
    folder, out = voc(tmp_path / "voc"), tmp_path / "out"
    (folder / "JPEGImages" / "1.jpg").rename(folder / "JPEGImages" / "1.PNG")
    (folder / "JPEGImages" / "2.jpg").unlink()
    plan, _ = converted(folder, out)
    names = [Path(line).name for line in (out / "train.txt").read_text().split()]
    assert names == ["1.PNG", "2.jpg"]
    assert [image.is_there for image in plan.train] == [True, False]


def test_converting_again_changes_nothing(tmp_path):
    folder, out = voc(tmp_path / "voc"), tmp_path / "out"
    converted(folder, out)
    before = tree(tmp_path)
    converted(folder, out)
    assert tree(tmp_path) == before


def test_an_interrupted_run_leaves_no_data_file(tmp_path, monkeypatch):
    folder, out = voc(tmp_path / "voc"), tmp_path / "out"
    converted(folder, out)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("yolo.data.convert.plan._write_label_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        converted(folder, out)
    assert not (out / "voc.data").exists()


def test_a_read_only_folder_gets_its_labels_beside_a_link(tmp_path):
    folder, out = voc(tmp_path / "voc"), tmp_path / "out"
    folder.chmod(0o555)
    before = tree(folder)
    _, homes = converted(folder, out)
    converted(folder, out)  # the link that is there is no obstacle
    folder.chmod(0o755)
    assert homes == {folder / "JPEGImages": home_in(out / "voc")} and tree(folder) == before
    first = Path((out / "train.txt").read_text().split()[0])
    assert first == out / "voc" / "JPEGImages" / "1.jpg" and first.exists()
    assert (out / "voc" / "JPEGImages").readlink() == folder / "JPEGImages"
    assert (out / "voc" / "labels" / "1.txt").read_text() == f"0 {CAT_LABEL}\n"
    assert (out / "difficult.txt").read_text() == f"{out}/voc/difficult/JPEGImages/3.jpg\n"


def test_two_read_only_folders_of_one_name_stay_apart(tmp_path):
    one, two = voc(tmp_path / "a" / "voc"), voc(tmp_path / "b" / "voc")
    one.chmod(0o555), two.chmod(0o555)
    out = tmp_path / "out"
    homes = label_homes(plan_voc(source(one, two), None), out)
    assert homes == {
        one / "JPEGImages": home_in(out / "voc"),
        two / "JPEGImages": home_in(out / "voc-2"),
    }
    with pytest.raises(DatasetError, match="choose another"):
        label_homes(plan_voc(source(one, one), None), one.parent)
    one.chmod(0o755), two.chmod(0o755)


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ((5, 5, 5, 9), convert.NO_AREA),
        ((5, 9, 8, 9), convert.NO_AREA),
        ((9, 5, 5, 9), convert.NO_AREA),
        ((0, 5, 1, 9), convert.OUTSIDE),  # its center is left of the image: cx = -0.005
        ((96, 5, 108, 9), convert.OUTSIDE),  # right of it: cx = 1.01
        ((5, 75, 9, 90), convert.OUTSIDE),  # below it: cy = 1.01875
        ((0, 0, 100, 80), None),  # counted from 0
        ((2, 2, 101, 81), None),  # one pixel over is ordinary
        ((1, 1, 2, 2), None),
    ],
)
def test_only_boxes_that_make_a_right_label_are_taken(tmp_path, box, kind):
    path = tmp_path / "a.xml"
    path.write_text(annotation([("cat", box, 0), CAT]))
    objects, kinds = problem_kinds(path)
    assert kinds == ([] if kind is None else [kind])
    assert len(objects) == (2 if kind is None else 1)
    assert objects[-1] == ("cat", False, CAT_LABEL)


@pytest.mark.parametrize(
    ("box", "label"),
    [  # by hand in 100 x 80, with edges (xmin - 1)/100 to (xmax - 1)/100
        ((-1, 5, 9, 9), (0.04, 0.075, 0.08, 0.05)),  # -2 to 8 → 0 to 8
        ((-9, 21, 12, 61), (0.055, 0.5, 0.11, 0.5)),  # nearly half outside: -10 to 11 → 0 to 11
        ((5, 5, 103, 9), (0.52, 0.075, 0.96, 0.05)),  # 4 to 102 → 4 to 100
        ((5, 61, 9, 83), (0.06, 0.875, 0.04, 0.25)),  # 60 to 82 of 80 → 60 to 80
        ((5, -9, 9, 21), (0.06, 0.125, 0.04, 0.25)),  # -10 to 20 → 0 to 20
        ((0, 5, 101, 9), (0.5, 0.075, 1.0, 0.05)),  # wider than the image
        ((-99, -79, 201, 161), (0.5, 0.5, 1.0, 1.0)),
    ],
)
def test_a_box_up_to_half_outside_is_cut_kept_and_counted(tmp_path, box, label):
    path = tmp_path / "a.xml"
    path.write_text(annotation([CAT, ("cat", box, 0)]))
    found = examine((str(path), None), None)
    assert found.objects[0] == ("cat", False, CAT_LABEL)
    assert tuple(map(float, found.objects[1][2].split())) == pytest.approx(label)
    assert found.clipped == 1 and not found.problems
    (repair,) = found.repairs
    assert repair.kind == "box cut at the border"
    assert repair.message.startswith(f"{path}: object 2 (cat): box {box[0]},{box[1]} to {box[2]},{box[3]} in 100 x 80")
    rows, faults = label_rows(tmp_path, found.objects)
    assert len(rows) == 2 and not faults  # training takes what a conversion writes


def label_rows(tmp_path, objects):
    (tmp_path / "a.txt").write_text("".join(f"0 {box}\n" for _, _, box in objects))
    return read_rows(tmp_path / "a.txt", 1)


def test_each_unusable_annotation_has_its_kind(tmp_path):
    path = tmp_path / "a.xml"
    assert problem_kinds(path) == (None, [convert.MISSING])
    path.write_text("<annotation>")
    assert problem_kinds(path) == (None, [convert.UNUSABLE])
    path.write_text(annotation([CAT], size=(100, 0)))
    assert problem_kinds(path) == (None, [convert.NO_SIZE])
    path.write_text(annotation([CAT, DOG]))
    assert problem_kinds(path, frozenset({"cat"}))[1] == [convert.UNKNOWN]


def faulty(folder):
    flat = ("cat", (7, 7, 7, 7), 0)
    train = {"1": annotation([flat, CAT]), "2": "<!DOCTYPE a><annotation/>", "4": annotation([DOG])}
    return voc(folder, train=train)


def test_the_tool_stops_at_problems_names_them_and_writes_nothing(tmp_path, tool):
    folder = faulty(tmp_path / "voc")
    before = tree(tmp_path)
    done = tool("--train", f"{folder}:train", "--valid", f"{folder}:val", "--out", tmp_path / "out")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    for said in ("1 x box without an area", "1 x unusable annotation", "--on-problem skip"):
        assert said in done.stderr
    assert "1.xml: object 1 (cat)" in done.stderr and "2.xml" in done.stderr
    assert len(done.stdout.splitlines()) == 2  # the complete list
    assert tree(tmp_path) == before and not (tmp_path / "out").exists()


def test_the_tool_skips_what_is_faulty_and_nothing_else(tmp_path, tool):
    folder, out = faulty(tmp_path / "voc:7"), tmp_path / "out"
    sets = ("--train", f"{folder}:train", "--valid", f"{folder}:val", "--out", out)
    done = tool(*sets, "--on-problem", "skip")
    assert (done.returncode, done.stderr) == (0, "")
    assert [Path(line).stem for line in (out / "train.txt").read_text().split()] == ["1", "4"]
    assert (folder / "labels" / "1.txt").read_text() == f"0 {CAT_LABEL}\n"
    assert len((out / "problems.txt").read_text().splitlines()) == 2
    rows = [line.split() for line in done.stdout.splitlines()]
    for row in ("images 2 1", "cat 1 1", "objects 1 1", "left out 1 0"):
        assert row.split() in rows
    assert f"--data {out}/voc.data" in done.stdout


def test_the_tool_needs_images_only_with_the_option(tmp_path, tool):
    folder, out = voc(tmp_path / "voc"), tmp_path / "out"
    (folder / "JPEGImages" / "2.jpg").unlink()
    sets = ("--train", f"{folder}:train", "--valid", f"{folder}:val", "--out", out)
    strict = tool(*sets, "--require-pictures")
    assert strict.returncode == 2 and "2.jpg" in strict.stderr and not out.exists()
    done = tool(*sets)
    assert done.returncode == 0 and "images not there: 1" in done.stdout


def test_the_tool_refuses_a_list_without_images_even_when_skipping(tmp_path, tool):
    folder = voc(tmp_path / "voc", val={})
    sets = ("--train", f"{folder}:train", "--valid", f"{folder}:val", "--out", tmp_path / "out")
    for extra in ((), ("--on-problem", "skip")):
        done = tool(*sets, *extra)
        assert done.returncode == 2 and "val.txt: no image name found" in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_tool_refuses_a_set_without_a_folder(tmp_path, tool):
    done = tool("--train", "trainval", "--valid", "x:val", "--out", tmp_path / "out")
    assert done.returncode == 2 and "'trainval' is not DIR:SET" in done.stderr


def test_bccd_converts_without_its_two_flat_boxes_and_stops_for_them_on_request(shared, tmp_path, tool):
    folder, out = tmp_path / "BCCD", tmp_path / "out"
    folder.mkdir()
    for part in ("Annotations", "ImageSets", "JPEGImages"):
        (folder / part).symlink_to(shared / "datasets" / "BCCD" / part)
    folder.chmod(0o555)  # as a mounted data set is
    sets = ("--train", f"{folder}:train", "--valid", f"{folder}:val", "--out", out)
    done = tool(*sets, "--on-problem", "stop")
    assert done.returncode == 2 and not out.exists()
    assert "BloodImage_00338.xml" in done.stderr and "BloodImage_00343.xml" in done.stderr
    done = tool(*sets)
    folder.chmod(0o755)
    assert done.returncode == 0 and "is not writable" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["images", "205", "87"] in rows and ["left", "out", "1", "1"] in rows
    for line in (out / "train.txt").read_text().split():
        assert Path(line).exists()
        assert Path(line.replace("JPEGImages", "labels")).with_suffix(".txt").exists()


def test_voc2007_test_gives_the_recorded_labels(shared, tmp_path, tool):
    with tarfile.open(shared / "datasets" / "VOC2007_annotations.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder, out = tmp_path / "VOC2007", tmp_path / "out"
    done = tool("--train", f"{folder}:trainval", "--valid", f"{folder}:test", "--out", out)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["objects", "12608", "12032"] in rows  # PASCAL's own counts
    identifiers = [Path(line).stem for line in (out / "valid.txt").read_text().split()]
    found = [
        [int(identifier), *map(float, line.split())]
        for identifier in identifiers
        for line in (folder / "labels" / f"{identifier}.txt").read_text().splitlines()
    ]
    recorded = np.load(shared / "voc_results" / "voc2007_test_labels.npz")
    found = np.array(found)
    assert (found[:, 0] == recorded["image"]).all() and (found[:, 1] == recorded["label"]).all()
    np.testing.assert_allclose(found[:, 2:], recorded["boxes"], rtol=0, atol=1e-15)
    difficult = [(folder / "difficult" / "labels" / f"{i}.txt").read_text() for i in identifiers]
    assert sum(text.count("\n") for text in difficult) == 2944  # counted by xml.etree
