"""--precision int8 of export, detect, evaluate and benchmark: scores, layers in float32, --max-drop, wrong input."""

import sys
from pathlib import Path

import pytest

from tests.helpers.command_calls import CPU, bad_option, one_line
from tests.helpers.fragile_network import FRAGILE, fragile_network, label_own_detections
from tests.helpers.tiny_data import cfg_text
from yolo.deploy.file_kinds import open_file
from yolo.engines.cache import CACHE_VARIABLE
from yolo.model.weights import save_weights
from yolo.serve.models import ModelFiles, NetworkOptions, open_models

MODEL = ("--cfg", "fragile.cfg", "--weights", "fragile.weights", "--names", "four/tiny.names")
INT8 = (*MODEL, "--precision", "int8", "--calibrate", "four/list.txt")


@pytest.fixture
def case(four, tmp_path, monkeypatch):
    """The current folder: the fragile network, and a data set whose labels are what it finds."""
    network = fragile_network()
    (tmp_path / "fragile.cfg").write_text(cfg_text(norm=False, dropout=False))
    save_weights(network, tmp_path / "fragile.weights")
    label_own_detections(network, four)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_fragile_layer_stays_in_float32(call, case):
    given = (
        "--data",
        "four/tiny.data",
        "--max-drop",
        ".1",
        "--out",
        "a.onnx",
        "--for",
        "frigate",
        "--batch",
        "dynamic",
    )
    code, out, err = call("export", *INT8, *given)
    assert code == 0, err
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    assert rows[1][:2] == [str(FRAGILE), "3x3, 6 to 12 channels"] and rows[1][3] == "float32"
    assert [row[0] for row in rows[-3:]] == ["float32", "int8", "int8, 1 layer in float32"]
    assert {rows[-3][column] for column in range(6, len(rows[-3]), 2)} == {"1.00x"}  # float32 beside itself
    exact, all_int8, kept = (float(row[1]) for row in rows[-3:])
    assert exact > 0.7 and all_int8 < exact - 0.1 and kept >= exact - 0.1
    assert "a.onnx: layout frigate, int8, opset 13" in out and "the int8 file that was scored" in out
    metadata = open_file(case / "a.onnx").metadata
    assert metadata["precision"] == "int8" and metadata["float32_layers"] == str(FRAGILE)
    found = call("detect", "--model", "a.onnx", "four/images", "--thresh", ".1", *CPU)
    assert found[0] == 0 and ("red" in found[1] or "green" in found[1])


def test_a_file_that_loses_too_much_is_not_kept(call, case, monkeypatch):
    from yolo.quantize import scored_export

    monkeypatch.setattr(scored_export, "_counts", lambda most: [0])  # no layer goes back to float32
    (case / "a.onnx").write_text("older, of yolo-darknet")
    result = call("export", *INT8, "--data", "four/list.txt", "--out", "a.onnx")
    assert result[0] == 2 and "a.onnx: found AP 0." in result[2].splitlines()[-1]
    assert "expected a loss of at most 0.005 (--max-drop); it was not kept" in result[2]
    assert (case / "a.onnx").read_text() == "older, of yolo-darknet" and not [
        each for each in case.iterdir() if each.name[0] == "."
    ]


def test_fp16_is_scored_too(call, case):
    code, out, err = call("export", *MODEL, "--precision", "fp16", "--score", "four/tiny.data", "--out", "a.onnx")
    assert code == 0, err
    assert "| fp16 " in out and "a.onnx: layout yolo, fp16" in out and (case / "a.onnx").exists()


def test_without_data_int8_is_not_scored(call, case):
    code, out, err = call("export", *INT8, "--out", "a.onnx", "--batch", 2)
    assert code == 0, err
    assert "| int8 " in out and "in float32" not in out and "[2, 3, 48, 64]" in out


def test_wrong_options_of_int8(call, case, monkeypatch):
    def export(*given):
        return call("export", *MODEL, "--out", "a.onnx", *given)

    bad_option(export("--precision", "int8"), "--calibrate: expected a list of images to calibrate with")
    bad_option(export("--calibrate", "four/list.txt"), "--calibrate: expected --precision int8")
    bad_option(export("--data", "four/tiny.data"), "--data: expected --precision fp16 or int8")
    one_line(call("export", *INT8, "--out", "a.pt2"), "a.pt2: found precision int8 and the ending '.pt2'")
    one_line(call("export", *INT8, "--out", "a.onnx", "--opset", 12), "a.onnx: found opset 12, expected 13 or newer")
    (case / "empty.txt").write_text("\n")
    one_line(export("--precision", "int8", "--calibrate", "empty.txt"), "empty.txt: found no image")
    (case / "three.data").write_text("classes=3\nvalid=four/list.txt\n")
    one_line(
        call("export", *INT8, "--out", "a.onnx", "--data", "three.data"), "three.data: found classes=3, expected 2"
    )
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    result = call("export", *INT8, "--out", "a.onnx")
    assert result[0] == 2 and result[2].splitlines()[-1] == (
        "error: --precision int8 needs the package onnxruntime.quantization: pip install 'yolo-darknet[export]'"
    )
    monkeypatch.setitem(sys.modules, "nncf", None)
    needs = r"--precision int8 for OpenVINO's IR needs the package nncf: pip install 'yolo-darknet\[openvino\]'"
    one_line(call("export", *INT8, "--out", "a.xml"), needs)  # before the sensitivity of all layers is measured
    assert not list(case.glob("a.*"))


@pytest.mark.slow
def test_openvino_ir_in_int8(call, case):
    given = ("--data", "four/tiny.data", "--max-drop", ".1", "--out", "a.xml", "--for", "hank")
    code, out, err = call("export", *INT8, *given)
    assert code == 0, err
    metadata = open_file(case / "a.xml").metadata
    assert metadata["precision"] == "int8" and "FakeQuantize" in (case / "a.xml").read_text()
    assert call("detect", "--model", "a.xml", "four/images", *CPU)[0] == 0


def test_commands_take_int8(call, case, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, "cache")
    model = ("--cfg", "fragile.cfg", "--weights", "fragile.weights")
    int8 = ("--engine", "onnxruntime", "--precision", "int8", "--calibrate", "four/images")
    code, out, err = call("detect", *model, "--names", "four/tiny.names", "four/images", "--thresh", ".1", *int8)
    assert code == 0 and ("red" in out or "green" in out), err
    code, out, err = call("evaluate", *model, "--data", "four/tiny.data", "--workers", "0", *int8)
    assert code == 0 and "mAP" in out, err
    few = ("--rounds", "3", "--batch", "1", "--seconds", ".1")
    code, out, err = call("benchmark", "--cfg", "fragile.cfg", "--engine", "torch", "onnxruntime", *few, "--calibrate",
                          "four/images", "--precision", "float32", "int8")  # fmt: skip
    assert code == 0 and "int8" in out, err
    assert len(list((case / "cache").glob("*int8*"))) == 2  # the benchmark's network has random numbers


def test_a_service_takes_int8(case, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, "cache")
    files = ModelFiles("a", None, Path("fragile.cfg"), Path("fragile.weights"), Path("four/tiny.names"))
    options = NetworkOptions("onnxruntime", "int8", "cpu", "alexeyab", False, Path("four/images"))
    (model,) = open_models([files], options, score_thresh=0.1, nms_thresh=0.45)
    assert len(model.detector(next(Path("four/images").iterdir())))
    assert model.description()["precision"] == "int8" and len(list(Path("cache").glob("*int8*"))) == 1


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (("--precision", "int8"), "--calibrate: expected images to calibrate with"),
        (("--calibrate", "a.txt"), "--calibrate: expected --precision int8"),
        (("--calibrate", "a.txt", "--precision", "int8"), "found int8 with --engine torch, expected --engine onnx"),
    ],
)
def test_options_that_do_not_go_together(call, case, given, found):
    bad_option(call("detect", *MODEL, "four/images", *given), found)
