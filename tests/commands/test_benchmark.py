"""benchmark: a row for each engine and precision, as table, JSON and chart."""

import json

import cv2

from tests.helpers.command_calls import one_line
from yolo.engines.cache import CACHE_VARIABLE

QUICK = ("--engine", "torch", "onnxruntime", "openvino", "opencv", "--rounds", "3", "--seconds", "0.1")


def test_every_engine_and_precision_has_a_row(call, case, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(case / "cache"))
    code, out, _ = call(
        "benchmark", "--cfg", "tiny.cfg", "--weights", "tiny.weights", "--batch", "1", "2", *QUICK,
        "--json", "times.json", "--chart", "times.png",
    )  # fmt: skip
    assert code == 0
    record = json.loads((case / "times.json").read_text())
    missing = {(each["engine"], each["precision"]) for each in record["left_out"]}  # a CPU without the instructions
    expected = {("torch", "float32"), ("torch", "bf16"), ("torch", "fp16"), ("onnxruntime", "float32")}
    expected |= {("openvino", "float32"), ("openvino", "bf16"), ("openvino", "fp16"), ("opencv", "float32")}
    for batch in (1, 2):
        rows = [each for each in record["times"] if each["batch"] == batch]
        assert {(each["engine"], each["precision"]) for each in rows} == expected - missing
        assert min(each["ratio_to_best"] for each in rows) == 1
        best = min(each["median"] for each in rows)
        for each in rows:
            assert each["ratio_to_best"] == each["median"] / best
            assert each["images_per_second"] == 1000 * batch / each["median"]
            assert each["difference"] <= {"float32": 1e-4, "bf16": 0.05, "fp16": 0.01}[each["precision"]]
            assert f"{each['median']:.2f}" in out
    assert cv2.imread(str(case / "times.png")).shape[1] == 900


def test_engines_and_sizes_are_chosen(call, case):
    code, out, _ = call(
        "benchmark", "--cfg", "tiny.cfg", "--engine", "torch", "--precision", "float32", "--image-size", "32", "64",
        "--batch", "1", "--rounds", "3", "--seconds", "0.1",
    )  # fmt: skip
    assert code == 0 and "1 image of 32 x 32" in out and "1 image of 64 x 64" in out
    assert "openvino" not in out and "bf16" not in out


def test_auto_is_a_row_beside_the_engines_that_it_chooses_from(call, case, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(case / "cache"))
    code, out, _ = call(
        "benchmark", "--cfg", "tiny.cfg", "--engine", "auto", "torch", "--precision", "float32", "--batch", "1",
        "--rounds", "3", "--seconds", "0.1", "--json", "times.json", "--chart", "times.png",
    )  # fmt: skip
    rows = json.loads((case / "times.json").read_text())["times"]
    assert code == 0 and {each["engine"] for each in rows} == {"auto", "torch"} and "auto" in out
    assert all(each["difference"] <= 1e-4 for each in rows)
    assert len(json.loads((case / "cache/choices.json").read_text())) == 1  # what other commands use, too


def test_wrong_choices_are_one_line(call, case):
    one_line(
        call("benchmark", "--cfg", "tiny.cfg", "--engine", "opencv", "--precision", "bf16"),
        "found no engine of opencv that computes in bf16",
    )
    one_line(call("benchmark", "--cfg", "away.cfg"), "away.cfg: No such file")
    one_line(
        call("benchmark", "--cfg", "tiny.cfg", "--chart", "times.txt"),
        "--chart times.txt: expected a name ending in .png, .svg, .pdf, .jpg",
    )
