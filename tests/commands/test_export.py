"""export, and detect --model: what they print, the file alone, and wrong input as one line and exit code 2."""

import json

import pytest

from tests.helpers.command_calls import CPU, MODEL, bad_option, one_line

NAMES = ("--names", "four/tiny.names")


def test_an_exported_file_alone_detects_what_the_network_does(call, case, four):
    code, out, err = call("export", *MODEL, *NAMES, "--out", "new/a.onnx", "--for", "frigate", "--batch", "dynamic")
    assert (code, err) == (0, "")
    first, *_, last = out.splitlines()
    assert first.startswith("new/a.onnx: layout frigate, float32, opset 13, ")
    assert "  input   images [batch, 3, " in out and "  output  output0 [batch, 6, " in out
    assert "  note    Frigate sends square images, which an input of 64x48 distorts: train" in out
    assert last.startswith("checked on 4 images: the largest difference from PyTorch is ")
    options = ("four/images", "--thresh", ".2", *CPU)
    assert call("detect", "--model", "new/a.onnx", *options, "--json", "a.json", "--batch", 3)[0] == 0
    assert call("detect", *MODEL, *NAMES, *options, "--json", "b.json")[0] == 0
    found, expected = (json.loads((case / name).read_text()) for name in ("a.json", "b.json"))
    assert sum(len(frame["objects"]) for frame in expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert [each["name"] for each in one["objects"]] == [each["name"] for each in other["objects"]]
        for mine, theirs in zip(one["objects"], other["objects"], strict=True):
            assert mine["confidence"] == pytest.approx(theirs["confidence"], abs=1e-4)
            assert mine["relative_coordinates"] == pytest.approx(theirs["relative_coordinates"], abs=1e-4)


def test_without_names_the_classes_are_numbers(call, case):
    code, out, _ = call("export", *MODEL, "--out", "a.onnx", "--opset", 12, "--precision", "fp16")
    assert (
        code == 0 and "names   0 to 1: no --names, and no .names file" in out and "layout yolo, fp16, opset 12" in out
    )


def test_wrong_options_of_export(call, case):
    def export(*given):
        return call("export", *MODEL, *given)

    bad_option(export("--out", "a.onnx", "--for", "frigat"), "--for: invalid choice: 'frigat'")
    bad_option(export("--out", "a.onnx", "--batch", "many"), "--batch.*found 'many', expected a number .*or dynamic")
    bad_option(export("--out", "a.onnx", "--opset", 11), "--opset: invalid choice: 11")
    one_line(export("--out", "a.engine"), "a.engine: found the ending '.engine', expected one of .onnx")
    (case / "three.names").write_text("a\nb\nc\n")
    one_line(export("--out", "a.onnx", "--names", "three.names"), "three.names: found 3 names, expected 2")
    (case / "file").write_text("")
    one_line(export("--out", "file/a.onnx"), "file: found a file, expected a folder to write to")
    (case / "of_another_program.onnx").write_bytes(b"\x08\x09")
    one_line(export("--out", "of_another_program.onnx"), "another_program.onnx: found a file that export did not write")
    assert not (case / "a.onnx").exists()


def test_wrong_options_of_detect_with_a_model(call, case, four):
    code, _, err = call("detect", "four/images", "--cfg", "tiny.cfg")
    assert code == 2 and "arguments are required: --weights (or --model)" in err
    bad_option(call("detect", "four/images", *MODEL, "--model", "a.onnx"), "--model: expected no --cfg or --weights")
    numbers = ("--engine", "openvino", "--precision", "bf16")
    bad_option(call("detect", "four/images", "--model", "a.onnx", *numbers), "expected no --engine or --precision")
    one_line(call("detect", "four/images", "--model", "a.onnx", *CPU), "a.onnx: No such file or directory")
    (case / "a.onnx").write_bytes(b"x")
    one_line(call("detect", "four/images", "--model", "a.onnx", *CPU), "a.onnx: found no model that ONNX Runtime")
    (case / "a.txt").write_bytes(b"x")
    one_line(call("detect", "four/images", "--model", "a.txt", *CPU), "a.txt: found the ending '.txt', expected one of")
