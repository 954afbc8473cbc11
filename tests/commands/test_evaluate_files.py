"""evaluate: the files that it writes, images that it leaves out, and wrong input as one line and exit code 2."""

import hashlib
import json
import re

from tests.helpers.command_calls import EVALUATE, TRAIN, bad_option, one_line
from tests.helpers.tiny_data import FOUR_IMAGES, NAMES, cfg_text, draw, network_of, write_image
from yolo.model.weights import save_weights


def voc_annotations(folder, drawn):
    """The drawn set as VOC XML (pixels from 1, the last one included) and an image set."""
    folder.mkdir()
    for path, boxes in zip(drawn.images, drawn.boxes, strict=True):
        objects = "".join(
            f"<object><name>{NAMES[label]}</name><difficult>0</difficult><bndbox><xmin>{x1 + 1}</xmin>"
            f"<ymin>{y1 + 1}</ymin><xmax>{x2 + 1}</xmax><ymax>{y2 + 1}</ymax></bndbox></object>"
            for x1, y1, x2, y2, label in boxes
        )
        size = "<size><width>64</width><height>48</height></size>"
        (folder / f"{path.stem}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
    (folder / "set.txt").write_text("".join(f"{path.stem}\n" for path in drawn.images))


def test_saved_results_score_as_in_evaluate(call, case, four):
    assert call("train", *TRAIN, "--max-batches", 60, "--set", "learning_rate=.02", "steps=50")[0] == 0
    arguments = (*EVALUATE, "--weights", "run/tiny_last.weights", "--json", "ours.json")
    code, out, _ = call("evaluate", *arguments, "--save-results", "results")
    assert code == 0
    assert "results: 2 files, results/comp4_det_test_CLASS.txt\n" in out
    ours = json.loads((case / "ours.json").read_text())
    assert set(ours["metrics"]) == {"voc07", "area", "coco"} and "AP50" in ours["coco"]
    voc_annotations(case / "xml", four)
    code, scored, _ = call(
        "score_voc",
        "results",
        "--annotations",
        "xml",
        "--imageset",
        "xml/set.txt",
        "--json",
        "s.json",
    )
    assert code == 0
    theirs = json.loads((case / "s.json").read_text())["metrics"]
    for metric in ("voc07", "area"):
        assert theirs[metric] == ours["metrics"][metric]
        assert theirs[metric]["mAP"] > 0  # or there would be nothing to compare
    line = next(line for line in scored.splitlines() if line.startswith("mAP "))
    assert f"{line}  coco " in out


def test_names_that_are_not_utf_8_pass_through_every_file(call, case, four):
    """Bytes stay in result files, JSON and the page have escapes; the numbers are those of plain names."""
    arguments = ("--json", "j.json", "--report", "report", "--save-results", "results", "--thresh", ".01")
    assert call("evaluate", *EVALUATE, *arguments)[0] == 0
    plain = (case / "j.json").read_text()
    for path in (*four.images, *(four.folder / "labels").iterdir()):
        path.rename(path.with_name(f"\udce9{path.name}"))
    listed = (four.folder / "list.txt").read_bytes()
    (four.folder / "list.txt").write_bytes(listed.replace(b"images/p", b"images/\xe9p"))
    code, out, err = call("evaluate", *EVALUATE, *arguments)
    assert code == 0, err
    assert (case / "j.json").read_text() == plain and json.loads(plain)["metrics"]["coco"]["mAP"] > 0
    assert b"\n\xe9p" in (case / "results" / "comp4_det_test_red.txt").read_bytes()
    assert r"\udce9p" in (case / "report" / "report.json").read_text(encoding="utf-8")
    assert r"\udce9p" in (case / "report" / "index.html").read_text(encoding="utf-8")
    code, scored, err = call(
        "score", "--truth", "four/list.txt", "--names", "four/tiny.names", "--detections", "results"
    )
    line = next(line for line in scored.splitlines() if line.startswith("mAP "))
    assert code == 0 and line in out, err


def test_evaluate_writes_a_report_that_compare_reads(call, case):
    code, out, err = call("evaluate", *EVALUATE, "--report", "a", "--metric", "voc07")
    assert code == 0, err
    assert out.endswith("report: a/index.html\n") and "AP coco" not in out
    page = (case / "a/index.html").read_text()
    about = json.loads((case / "a/report.json").read_text())["about"]
    assert about["weights_sha256"] == hashlib.sha256((case / "tiny.weights").read_bytes()).hexdigest()
    assert about["weights_sha256"] in page and "Darknet" in page and "--report a" in about["command"]
    save_weights(network_of(cfg_text(), seed=2), case / "tiny.weights")
    assert call("evaluate", *EVALUATE, "--report", "b")[0] == 0
    code, out, err = call("compare", "a", "b", "--report", "c")
    assert code == 0 and out.endswith("page: c/index.html\n"), err


def test_evaluate_leaves_out_what_is_broken_and_reports_it(call, case, four):
    four.images[0].unlink()
    code, out, _ = call("evaluate", *EVALUATE, "--metric", "voc07")
    assert code == 0 and "1 x image that is not there" in out and "p0.png: no such file" in out
    assert re.search(r"red +\| +2 \|", out)
    one_line(
        call("evaluate", *EVALUATE, "--on-problem", "stop"),
        r"list.txt: found 1 problem, the first: .*p0.png: no such file.*; --on-problem skip leaves",
    )


def test_heads_of_different_classes_are_one_line(call, case):
    more = "[convolutional]\nfilters=16\n[yolo]\nmask=0,1\nanchors=1,2, 3,4\nclasses=3\nnum=2\n"
    (case / "tiny.cfg").write_text(cfg_text() + "[route]\nlayers=-3\n" + more)
    for command in (("summary", "--cfg", "tiny.cfg"), ("evaluate", *EVALUATE), ("train", *TRAIN)):
        one_line(call(*command), r"tiny.cfg:\d+: \[yolo\] classes: found '3', expected 2, as in")


def test_evaluate_stops_in_one_line(call, case, four, tmp_path):
    one_line(call("evaluate", *EVALUATE, "--weights", "tiny.cfg"), "tiny.cfg: ")
    one_line(call("evaluate", *EVALUATE, "--data", "tiny.cfg"), "tiny.cfg:1: found")
    one_line(call("evaluate", *EVALUATE, "--save-results", "tiny.cfg"), "tiny.cfg: found a file, expected a folder")
    bad_option(call("evaluate", *EVALUATE, "--json", "."), "found the folder '.', expected a file")
    bad_option(call("evaluate", *EVALUATE, "--batch", "0"), "expected a whole number from 1 on")
    bad_option(call("evaluate", *EVALUATE, "--device", "gpu"), "expected a device")
    (four.folder / "tiny.names").write_text("red\n\ngreen\n")
    one_line(call("evaluate", *EVALUATE), "tiny.names, expected as many")
    four.data.write_text("classes=2\ntrain=four/list.txt\n")
    one_line(call("evaluate", *EVALUATE), "four/tiny.data: expected the keys valid and names")


def test_a_page_of_another_program_is_not_replaced(call, case):
    page = case / "site" / "index.html"
    page.parent.mkdir()
    page.write_text("mine")
    assert call("evaluate", *EVALUATE, "--report", "a")[0] == 0
    for command in (("evaluate", *EVALUATE), ("compare", "a", "a")):
        one_line(call(*command, "--report", "site"), "site/index.html: found a page without .*json")
    assert page.read_text() == "mine" and [*page.parent.iterdir()] == [page]


def test_results_files_need_images_and_classes_with_names_of_their_own(call, case, four):
    copy = write_image(case / "elsewhere" / "p0.jpg", draw(FOUR_IMAGES[0]))
    (four.folder / "list.txt").write_text(f"{four.images[0]}\n{copy}\n")
    assert call("evaluate", *EVALUATE)[0] == 0
    result = call("evaluate", *EVALUATE, "--save-results", "results")
    one_line(result[:1] + ("",) + result[2:], "found 1 name twice, such as p0, expected each once")
    (four.folder / "list.txt").write_text(f"{copy}\n")
    for name in ("green/blue", "e" * 227):
        (four.folder / "tiny.names").write_text(f"red\n{name}\n")
        result = call("evaluate", *EVALUATE, "--save-results", "results")
        one_line(result[:1] + ("",) + result[2:], f"found class name '{name}'")
        assert "AP" not in result[1]
    assert not (case / "results").exists()
