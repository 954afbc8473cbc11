"""yolo.deploy.export: files of every kind, checked before they get their name, and run by themselves."""

import ast
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import torch

from tests.helpers.full_disk import full_beyond
from tests.helpers.golden import network_of
from tests.helpers.tiny_heads import CLASSIFIERS, HEADS, TREE, TREE_HEAD
from yolo.defaults import LAYOUT_NAMES
from yolo.deploy import export as export_module
from yolo.deploy.check import check_batches, largest_difference, nms_difference
from yolo.deploy.export import ExportOptions, export_network
from yolo.deploy.exported import ExportedClassifier, ExportedNetwork, open_classifier, open_network
from yolo.deploy.file_kinds import ENDINGS, open_file
from yolo.deploy.layouts import choose_layout
from yolo.deploy.metadata import describe, describe_files, read_description
from yolo.detect.classifier import Classifier
from yolo.detect.detector import Detector
from yolo.engines.onnx_file import onnx_metadata, open_onnx, run_onnx
from yolo.errors import CfgError, ExportError, WeightsError
from yolo.files.outputs import refuse_exports_over
from yolo.model.class_tree import best_class_one_hot
from yolo.model.network import Network
from yolo.model.weights import load_weights

NAMES = ("cat", 'd\'og\n"x"')


def options(layout="yolo", precision="float32", batch=None, opset=13, letterbox=False):
    return ExportOptions(layout, precision, batch, opset, letterbox, score_thresh=0.2, nms_thresh=0.4)


def write(network, path, **given):
    return export_network(network, NAMES, path, options(**given), {})


def detector_of(path, thresh):
    exported = open_network(path)
    return Detector(exported, NAMES, thresh, 0.4, engine=exported)


# Each layout once and each head once; the other combinations are slow tests.
PAIRS = list(zip(LAYOUT_NAMES, [*HEADS, "yolo", "two_yolo", "region"], strict=True))


@pytest.mark.parametrize(("layout", "head"), PAIRS)
def test_a_file_for_any_batch_size_computes_what_torch_does(tmp_path, layout, head):
    network = network_of(HEADS[head]).eval()
    result = write(network, tmp_path / "a.onnx", layout=layout)
    assert result.difference <= 1e-5 and result.images == 4
    session = open_onnx(tmp_path / "a.onnx", 1)
    chosen = choose_layout(layout, network, one_image=False, score_thresh=0.2, nms_thresh=0.4)
    assert [each.name for each in session.get_outputs()] == list(chosen.output_names)
    for batch in (1, 3, 8):  # it was traced with 2
        images = torch.rand(batch, 3, network.input.height, network.input.width)
        found = run_onnx(session, images)
        if layout == "nms":
            assert nms_difference(tmp_path / "a.onnx", network, images, found[0], 0.2, 0.4) <= 1e-5
        else:
            assert largest_difference(chosen, network, images, found) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUT_NAMES)
@pytest.mark.parametrize("head", HEADS)
def test_every_layout_of_every_head_with_every_opset(tmp_path, layout, head):
    for opset in (12, 14, 15, 16, 17, 18):
        assert write(network_of(HEADS[head]), tmp_path / "a.onnx", layout=layout, opset=opset).difference <= 1e-5
        assert onnx.load(tmp_path / "a.onnx").opset_import[0].version == opset


@pytest.mark.parametrize(
    ("ending", "batch"),
    [
        (".onnx", 1),
        (".onnx", None),
        (".torchscript", None),
        pytest.param(".xml", None, marks=pytest.mark.slow),  # importing OpenVINO takes seconds
        pytest.param(".pt2", None, marks=pytest.mark.slow),  # as does torch.export
        *(pytest.param(ending, 1, marks=pytest.mark.slow) for ending in ENDINGS[1:]),
    ],
)
def test_every_kind_of_file_detects_like_the_network(tmp_path, ending, batch):
    network = network_of(HEADS["two_yolo"])
    path = tmp_path / f"a{ending}"
    write(network, path, batch=batch)
    exported = open_network(path)
    assert exported.description.names == NAMES
    images = [np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8) for seed in range(3)]
    found = detector_of(path, 0.3)(images)
    expected = Detector(network, NAMES, 0.3, 0.4)(images)
    assert sum(map(len, expected)) > 0
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(one.scores, other.scores, rtol=1e-4, atol=1e-5)
        assert one.labels.tolist() == other.labels.tolist()
    beside = {f"a{ending}", "a.bin"} if ending == ".xml" else {f"a{ending}"}
    assert {each.name for each in tmp_path.iterdir()} == beside
    refuse_exports_over(path, [])  # it is known as one that may be replaced


@pytest.mark.parametrize("ending", [".onnx", ".xml", pytest.param(".pt2", marks=pytest.mark.slow), ".torchscript"])
def test_several_threads_may_run_a_file_at_the_same_time(tmp_path, ending):
    network = network_of(HEADS["yolo"])
    write(network, tmp_path / f"a{ending}", layout="raw")
    refuse_exports_over(tmp_path / f"a{ending}", [])
    run = open_file(tmp_path / f"a{ending}").run
    images = [torch.rand(1, 3, network.input.height, network.input.width) for _ in range(40)]
    alone = [run(image) for image in images]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(run, images))
    for one, other in zip(alone, together, strict=True):
        assert all(map(torch.equal, one, other))


@pytest.mark.parametrize("layout", ["nms", "raw", "opencv"])
def test_a_file_for_one_image_detects_in_several(tmp_path, layout):
    network = network_of(HEADS["yolo"])
    write(network, tmp_path / "a.onnx", layout=layout, batch=1)
    images = [np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8) for seed in range(3)]
    found = detector_of(tmp_path / "a.onnx", 0.25)(images)
    expected = Detector(network, NAMES, 0.25, 0.4)(images)
    assert [len(each) for each in found] == [len(each) for each in expected] and sum(map(len, found)) > 0


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_is_exported_with_its_probabilities(tmp_path, kind):
    network = network_of(CLASSIFIERS[kind])
    result = export_network(network, list("abcde"), tmp_path / "a.onnx", options(), {})
    assert result.difference <= 1e-5
    images = torch.rand(3, 3, 16, 24)
    (found,) = run_onnx(open_onnx(tmp_path / "a.onnx", 1), images)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(3))
    with pytest.raises(WeightsError, match="a.onnx: found a classifier, expected a detector"):
        open_network(tmp_path / "a.onnx")


@pytest.mark.parametrize("layout", ["probs", "yolo", "ultralytics", "opencv"])
@pytest.mark.parametrize("batch", [None, 2])
def test_an_exported_classifier_ranks_as_the_network(tmp_path, layout, batch):
    network = network_of(CLASSIFIERS["softmax_alone"])
    export_network(network, list("abcde"), tmp_path / "a.onnx", options(layout, batch=batch), {})
    exported = open_classifier(tmp_path / "a.onnx")
    images = torch.rand(3, 3, 16, 24)
    found, expected = (Classifier(each, "abcde").rank(images) for each in (exported, network))
    for one, other in zip(found, expected, strict=True):
        assert one.labels.tolist() == other.labels.tolist()
        torch.testing.assert_close(one.probabilities, other.probabilities, atol=1e-6, rtol=0)
    export_network(network, list("abcde"), tmp_path / "raw.onnx", options("raw"), {})
    with pytest.raises(WeightsError, match="raw.onnx: found layout raw, what enters the softmax; expected --for probs"):
        open_classifier(tmp_path / "raw.onnx")
    write(network_of(HEADS["yolo"]), tmp_path / "d.onnx")
    with pytest.raises(WeightsError, match="d.onnx: found a detector, expected a classifier"):
        open_classifier(tmp_path / "d.onnx")


@pytest.mark.parametrize("opset", [12, 18])
def test_a_class_hierarchy_is_exported(tmp_path, opset):
    (tmp_path / "a.tree").write_text(TREE)
    network = network_of(TREE_HEAD.format(tmp_path / "a.tree"))
    out = tmp_path / "a.onnx"
    assert export_network(network, list("abcd"), out, options("yolo", opset=opset), {}).difference <= 1e-5
    images = torch.rand(3, 3, 16, 24)
    (rows,) = run_onnx(open_onnx(out, 1), images)
    best = best_class_one_hot(network.decode(network(images)).class_probs, network.tree)
    assert torch.equal(rows[..., 5:], best)
    assert len(best.argmax(dim=-1).unique()) > 1


def test_the_metadata_say_what_a_program_needs(tmp_path):
    (tmp_path / "x.cfg").write_text("the cfg")
    (tmp_path / "x.weights").write_bytes(b"the weights")
    network = network_of(HEADS["two_yolo"])
    sources = describe_files(cfg=tmp_path / "x.cfg", weights=tmp_path / "x.weights")
    export_network(network, NAMES, tmp_path / "a.onnx", options("ultralytics", letterbox=True), sources)
    metadata = onnx_metadata(open_onnx(tmp_path / "a.onnx", 1))
    assert ast.literal_eval(metadata["names"]) == dict(enumerate(NAMES))  # as ultralytics' programs read it
    assert ast.literal_eval(metadata["imgsz"]) == [16, 24]
    assert metadata["stride"] == "4" and json.loads(metadata["strides"]) == [4, 2]
    assert json.loads(metadata["anchors"]) == [[[6, 5], [9, 12]], [[3, 4]]]
    assert json.loads(metadata["scale_x_y"]) == [1, 1] and json.loads(metadata["new_coords"]) == [False, False]
    assert metadata["resize"] == "letterbox" and metadata["layout"] == "ultralytics" and metadata["task"] == "detect"
    assert metadata["cfg"] == "x.cfg" and metadata["cfg_sha256"] == hashlib.sha256(b"the cfg").hexdigest()
    assert metadata["weights_sha256"] == hashlib.sha256(b"the weights").hexdigest()
    assert read_description("a.onnx", metadata).nms_kind == network.head_settings[-1].nms_kind


@pytest.mark.parametrize("batch", [None, 4])
@pytest.mark.parametrize("text", [HEADS["yolo"], CLASSIFIERS["softmax"]])
def test_ultralytics_programs_can_read_the_metadata(tmp_path, text, batch):
    """As their BaseBackend.apply_metadata reads it, and what AutoBackend takes out of it."""
    network = network_of(text)
    names = [str(index) for index in range(network.classes)]
    export_network(network, names, tmp_path / "a.onnx", options("ultralytics", batch=batch), {})
    metadata = onnx_metadata(open_onnx(tmp_path / "a.onnx", 1))
    read = {key: int(metadata[key]) for key in ("stride", "batch", "channels")}
    read |= {key: ast.literal_eval(metadata[key]) for key in ("imgsz", "names", "args")}
    assert read["batch"] == (batch or 1) and read["channels"] == 3 and read["imgsz"] == [16, 24]
    assert read["names"] == dict(enumerate(names)) and metadata["task"] in ("detect", "classify")
    # else they would cut the gray border of letterboxed images off, and the file takes one size only
    assert read["args"]["dynamic"] is False and read["args"]["nms"] is False
    assert read_description("a.onnx", metadata).batch == batch


@pytest.mark.parametrize("batch", ["dynamic", "2"])
def test_the_batch_of_older_files_is_read(batch):
    metadata = describe(network_of(HEADS["yolo"]), "yolo", NAMES, None, letterbox=False) | {"batch": batch}
    del metadata["dynamic_batch"], metadata["args"]
    assert read_description("a.onnx", metadata).batch == {"dynamic": None, "2": 2}[batch]


@pytest.mark.parametrize("layout", ["yolo", "nms", "deepstream"])
def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch, layout):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"old")
    write_right = export_module.write_file

    def write_wrong(module, *arguments, **named):
        with torch.no_grad():
            next(module.parameters())[0] += 0.01
        write_right(module, *arguments, **named)

    monkeypatch.setattr(export_module, "write_file", write_wrong)
    # the check's own network is another copy, which stays right
    monkeypatch.setattr(export_module, "ArrangedNetwork", _copying)
    with pytest.raises(ExportError, match="a.onnx: found a file that differs from torch by .* expected at most 1e-04"):
        write(network_of(HEADS["yolo"]), path, layout=layout)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending != ".pt2"])
def test_a_full_disk_keeps_the_older_file_and_is_an_error_of_the_system(tmp_path, ending):
    out = tmp_path / f"a{ending}"
    out.write_text("old")
    with pytest.raises(OSError), full_beyond(2000):
        write(network_of(HEADS["yolo"]), out)
    assert [each.name for each in tmp_path.iterdir()] == [out.name] and out.read_text() == "old"


def _copying(network, *arguments):
    from yolo.deploy.layouts import ArrangedNetwork
    from yolo.engines.fold import folded

    return ArrangedNetwork(folded(network), *arguments)


@pytest.mark.parametrize("layout", LAYOUT_NAMES)
def test_scores_of_almost_zero_do_not_stop_an_export(shared, tmp_path, layout):
    """The noise of the check is no object for this network: its scores are .002 and objectness down to 1e-10."""
    folder = shared / "models/MobileNetV2-YOLOv3-Nano-voc"
    network = Network.from_cfg(folder / "MobileNetV2-YOLOv3-Nano-voc.cfg", overrides={"width": "96", "height": "96"})
    load_weights(network, folder / "MobileNetV2-YOLOv3-Nano-voc.weights")
    names = [str(index) for index in range(20)]
    result = export_network(network, names, tmp_path / "a.onnx", options(layout=layout), {})
    assert result.difference < 5e-5


def test_small_scores_are_still_compared():
    """Scores that are all 0 in the file differ, however small they are."""
    network = network_of(HEADS["yolo"]).eval()
    layout = choose_layout("ultralytics", network, one_image=False, score_thresh=0.2, nms_thresh=0.4)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter[...] = -4.0
    images = torch.rand(1, 3, 16, 24)
    with torch.inference_mode():
        (expected,) = layout.arrange(network, network(images))
    found = expected.clone()
    found[:, 4:] = 0
    assert expected[:, 4:].max() < 0.01
    assert largest_difference(layout, network, images, [expected]) == 0
    assert largest_difference(layout, network, images, [found]) > 1e-3


def test_other_rows_after_nms_are_a_difference(tmp_path):
    network = network_of(HEADS["two_yolo"]).eval()
    write(network, tmp_path / "a.onnx", layout="nms")
    images = torch.rand(2, 3, 16, 24)
    (rows,) = run_onnx(open_onnx(tmp_path / "a.onnx", 1), images)
    assert nms_difference(tmp_path / "a.onnx", network, images, rows, 0.2, 0.4) <= 1e-5
    assert nms_difference(tmp_path / "a.onnx", network, images, rows[:-1], 0.2, 0.4) == float("inf")
    assert nms_difference(tmp_path / "a.onnx", network, images, rows, 0.2, 0.01) == float("inf")


def test_the_images_of_the_check_are_not_the_traced_one_and_always_the_same():
    network = network_of(HEADS["yolo"])
    first, second = check_batches(network, None), check_batches(network, None)
    assert [each.shape[0] for each in first] == [1, 3] and [len(each) for each in check_batches(network, 2)] == [2] * 3
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert all(each.std() > 0.1 and each.min() >= 0 and each.max() <= 1 for each in first)


def test_another_image_size_is_refused_by_the_file(tmp_path):
    """Boxes would be wrong, because the size is a constant in the file."""
    write(network_of(HEADS["yolo"]), tmp_path / "a.onnx")
    session = open_onnx(tmp_path / "a.onnx", 1)
    with pytest.raises(Exception, match="invalid dimensions"):
        run_onnx(session, torch.rand(1, 3, 32, 48))


@pytest.mark.parametrize("ending", [".onnx", pytest.param(".xml", marks=pytest.mark.slow)])
def test_fp16_halves_the_file_and_takes_and_gives_float32(tmp_path, ending):
    network = network_of(HEADS["yolo"].replace("filters=4", "filters=400"))
    whole = write(network, tmp_path / f"a{ending}")
    half = write(network, tmp_path / f"b{ending}", precision="fp16")
    assert 0 < half.difference < 0.01
    kept = ".bin" if ending == ".xml" else ending
    sizes = [path.stat().st_size for path in (tmp_path / f"a{kept}", tmp_path / f"b{kept}")]
    assert whole.bytes >= sizes[0] and half.bytes >= sizes[1]
    assert sizes[1] < 0.75 * sizes[0]
    opened = open_file(tmp_path / f"b{ending}")
    assert opened.run(torch.rand(2, 3, 16, 24))[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "given", "error", "match"),
    [
        ("a.pb", {}, ExportError, r"a.pb: found the ending '.pb', expected one of .onnx, .xml, .pt2, .torchscript"),
        ("a.xml", {"layout": "nms"}, ExportError, "a.xml: found layout nms and the ending .xml, expected .onnx"),
        ("a.onnx", {"precision": "int4"}, ExportError, "a.onnx: found precision int4, expected one of float32"),
        (
            "a\udcff.onnx",
            {},
            ExportError,
            "found a name that is not in UTF-8, expected one for a file that other programs",
        ),
        ("a.onnx", {"layout": "x"}, CfgError, "found layout 'x', expected one of raw, yolo"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, name, given, error, match):
    with pytest.raises(error, match=match):
        write(network_of(HEADS["yolo"]), tmp_path / name, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [pytest.param("a.xml", marks=pytest.mark.slow), "a.pt2", "a.torchscript", "a.onnx"])
@pytest.mark.parametrize("content", [b"", b"some text"])
def test_a_damaged_file_is_an_error_of_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=f"{name}: found no ") as error:
        open_network(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_file_of_another_program_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="a.onnx: found no metadata of yolo-darknet, expected a file of"):
        read_description("a.onnx", {"names": "{0: 'a'}"})
    with pytest.raises(WeightsError, match="a.onnx: found damaged metadata: "):
        read_description("a.onnx", {"producer": "yolo-darknet 1", "imgsz": "[1,", "names": "{}"})
    with pytest.raises(WeightsError, match="a.onnx: found damaged metadata: ValueError.'layout of tomorrow'"):
        read_description("a.onnx", {"producer": "yolo-darknet 1", "layout": "of tomorrow"})


@pytest.mark.parametrize(
    "damage",
    [
        {"names": "-" * 100_000 + "1"},  # Python's parser gives up with a MemoryError
        {"names": "{0: b'cat', 1: 'dog'}"},
        {"names": "{0: 'cat', 1: 'cat'}"},
        {"names": "{}"},
        {"imgsz": "[1000000000, 1000000000]"},
        {"imgsz": "[0, -5]"},
        {"channels": "-3"},
        {"batch": "-1", "dynamic_batch": "False"},
        {"batch": "1000000000", "dynamic_batch": "False"},
        {"nms": '{"kind": "x", "beta": 1}'},
        {"nms": '{"kind": "default", "beta": 1e999}'},
        {"nms": "[1]"},
        {"heads": '[{"kind": "yolo", "layer": 1}]'},
        {"heads": "[1]"},
        {"dialect": "x"},
    ],
    ids=str,
)
def test_metadata_that_no_network_has_are_refused(damage):
    whole = describe(network_of(HEADS["yolo"]), "yolo", NAMES, None, False)
    assert read_description("a.onnx", whole).names == NAMES
    with pytest.raises(WeightsError, match="a.onnx: found damaged metadata: "):
        read_description("a.onnx", whole | damage)


@pytest.mark.parametrize("outputs", [[], [(2, 5)], [(2, 9, 6)], [(1, 9, 7)], [(2, 9, 7), (2, 9)]], ids=str)
def test_outputs_that_are_not_as_the_metadata_say_are_one_line(outputs):
    description = read_description("a.onnx", describe(network_of(HEADS["yolo"]), "yolo", NAMES, None, False))
    images = torch.zeros(2, 3, 8, 8)
    boxes = ExportedNetwork("a.onnx", description, lambda _: [torch.zeros(2, 9, 7)])(images)[0]
    assert boxes.shape == (2, 9, 4)
    network = ExportedNetwork("a.onnx", description, lambda _: [torch.zeros(shape) for shape in outputs])
    with pytest.raises(WeightsError, match="a.onnx: found a network that differs from its metadata"):
        network(images)


def test_an_input_that_a_library_refuses_is_one_line():
    def run(_images):
        raise RuntimeError("Got invalid dimensions\nstack")

    described = describe(network_of(CLASSIFIERS["softmax"]), "probs", NAMES, None, False)
    with pytest.raises(WeightsError, match="its metadata: Got invalid dimensions$"):
        ExportedClassifier("a.onnx", read_description("a.onnx", described), run)(torch.zeros(1, 3, 8, 8))
