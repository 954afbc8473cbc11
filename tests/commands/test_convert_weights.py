"""convert_weights: .weights ↔ .safetensors, backbones, and wrong input as one line and exit code 2."""

import hashlib
import os
import struct
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers import stored_networks
from tests.helpers.stored_networks import ALEXEYAB, ALL_CFG, ALL_LAYERS, BOTH_CFG, BOTH_LAYERS, PJREDDIE
from yolo.model.network import Network
from yolo.model.weights import load_weights, save_weights, weights_bytes
from yolo.named_files import HOMES


@pytest.fixture
def tool(load_tool):
    return load_tool("convert_weights")


@pytest.fixture
def call(tool, call_tool):
    """call(IN, OUT, ...) → exit code, stdout, stderr, as the command gives them."""
    return partial(call_tool, tool)


@pytest.fixture
def case(tmp_path, monkeypatch):
    """The current folder: all.cfg with all.weights in AlexeyAB's order, both.cfg with both.weights in pjreddie's."""
    (tmp_path / "all.cfg").write_text(ALL_CFG)
    stored_networks.write(tmp_path / "all.weights", ALL_LAYERS, ALEXEYAB)
    (tmp_path / "both.cfg").write_text(BOTH_CFG)
    stored_networks.write(tmp_path / "both.weights", BOTH_LAYERS, PJREDDIE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wrong(result, match, folder):
    """One line, exit code 2, and no new file."""
    code, out, err = result
    assert (code, out) == (2, ""), result
    assert err.startswith("error: ") and err.count("\n") == 1 and match in err, err
    assert not [name for name in os.listdir(folder) if "out" in name]


@pytest.mark.parametrize("name", ["all", "both"])
def test_to_safetensors_and_back_gives_the_same_bytes(case, call, name):
    given = (case / f"{name}.weights").read_bytes()
    code, out, err = call(f"{name}.weights", "new/a.safetensors", "--cfg", f"{name}.cfg")
    size = (case / "new/a.safetensors").stat().st_size
    last, version = {"all": (11, "0.2.5"), "both": (6, "0.2.0")}[name]
    line = f"{size:,} bytes, layers 0 to {last}, version {version}, seen 640\n"
    assert (code, out, err) == (0, f"wrote new/a.safetensors: {line}", "")
    code, out, err = call("new/a.safetensors", "b.weights", "--cfg", f"{name}.cfg")
    assert code == 0 and out.startswith(f"wrote b.weights: {len(given):,} bytes"), err
    assert (case / "b.weights").read_bytes() == given
    cfg = (case / f"{name}.cfg").read_bytes()
    assert hashlib.sha256(cfg).hexdigest().encode() in (case / "new/a.safetensors").read_bytes()


def test_a_cfg_whose_name_is_not_utf_8_is_noted_and_found_again_from_a_file_of_such_a_name(case, call):
    given = (case / "all.weights").read_bytes()
    (case / "all.cfg").rename(case / "gr\udcfcn.cfg")
    assert call("all.weights", "new/\udcff.safetensors", "--cfg", "gr\udcfcn.cfg")[::2] == (0, "")
    assert rb"gr\\udcfcn.cfg" in (case / "new/\udcff.safetensors").read_bytes()  # JSON doubles the backslash
    assert call("new/\udcff.safetensors", "b.weights")[::2] == (0, "cfg: gr\\udcfcn.cfg\n")
    assert (case / "b.weights").read_bytes() == given


@pytest.mark.parametrize("order", [ALEXEYAB, PJREDDIE])
@pytest.mark.parametrize("cutoff", [1, 2, 6])
def test_with_a_cutoff_it_is_the_backbone_as_darknets_partial_gives_it(case, call, order, cutoff):
    """The header is that of the Darknet asked for, seen is 0, the rest the beginning of its whole file (by hand)."""
    code, out, _ = call("both.weights", "out.conv.2", "--cutoff", cutoff, "--dialect", order)
    assert code == 0 and out.endswith(
        f"layers 0 to {cutoff - 1}, version {'0.2.5' if order == ALEXEYAB else '0.2.0'}, seen 0\n"
    )
    header = struct.pack("<3iQ", 0, 2, 5 if order == ALEXEYAB else 0, 0)
    below = [row for row in BOTH_LAYERS if row[0] < cutoff]
    body = stored_networks.file_bytes(below, PJREDDIE, b"")
    if order == ALEXEYAB:  # the biases that pjreddie's file has not are 0; layer 0 has 124 numbers
        zeros = b"\0" * 4 * 4 if cutoff > 1 else b""
        at_4 = 4 * (124 + 12 + 111 + 312)
        body = body[: 4 * 124] + zeros + body[4 * 124 : at_4] + (b"\0" * 2 * 4 + body[at_4:] if cutoff > 4 else b"")
    content = (case / "out.conv.2").read_bytes()
    assert content == header + body


def test_a_backbone_is_converted_with_its_cutoff(case, call):
    assert call("all.weights", "all.conv.9", "--cutoff", 9)[0] == 0
    assert call("all.conv.9", "all.safetensors", "--cutoff", 9)[0] == 0
    assert call("all.safetensors", "again.conv.9", "--cutoff", 9, "--cfg", "all.cfg")[0] == 0
    assert (case / "again.conv.9").read_bytes() == (case / "all.conv.9").read_bytes()
    assert call("all.conv.9", "all.conv.3", "--cutoff", 3)[0] == 2  # ends at neither 3 nor 12


def test_the_dialect_rewrites_a_file_for_that_darknet(case, call):
    """pjreddie's → AlexeyAB's → pjreddie's: the biases that only the second one stores are 0, so nothing is lost."""
    assert call("both.weights", "ab.weights", "--cfg", "both.cfg", "--dialect", ALEXEYAB)[0] == 0
    content = (case / "ab.weights").read_bytes()
    assert content[:20] == stored_networks.HEADERS[ALEXEYAB]
    assert len(content) == (case / "both.weights").stat().st_size + 4 * (4 + 2)
    assert call("ab.weights", "pj.weights", "--cfg", "both.cfg", "--dialect", PJREDDIE)[0] == 0
    assert (case / "pj.weights").read_bytes() == (case / "both.weights").read_bytes()


def test_the_cfg_of_the_same_name_is_found_beside_the_file_or_in_the_shipped_folder(case, call, tool, monkeypatch):
    shipped = case / "shipped"
    shipped.mkdir()
    monkeypatch.setitem(HOMES, ".cfg", (shipped, shipped))
    (case / "all.cfg").rename(shipped / "all.cfg")
    for name in ("all.weights", "all.conv.12", "all.12"):
        (case / "all.weights").rename(case / name)
        assert call(name, "a.safetensors")[0] == 0
        (case / name).rename(case / "all.weights")
    (case / "all.cfg").write_text(BOTH_CFG)  # beside it goes first, and does not fit
    wrong(call("all.weights", "out.safetensors"), "found ", case)
    (case / "all.cfg").unlink()
    (shipped / "all.cfg").unlink()
    expected = "all.weights: found no all.cfg and no all among the cfgs of the package, expected --cfg"
    wrong(call("all.weights", "out.safetensors"), expected, case)


def test_a_name_may_have_dots_and_numbers_of_its_own(case, call):
    (case / "all.cfg").rename(case / "all-1.1.cfg")
    (case / "all.weights").rename(case / "all-1.1.weights")
    assert call("all-1.1.weights", "all-1.1.conv.3", "--cutoff", 3)[0] == 0
    assert call("all-1.1.conv.3", "a.safetensors", "--cutoff", 3)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (
            ("all.pt", "out.weights"),
            "all.pt: found the ending '.pt', expected .weights, .safetensors",
        ),
        (("all.pt", "out.weights"), "training writes a .weights beside each checkpoint"),
        (("all.weights", "out.onnx"), "out.onnx: found the ending '.onnx'"),
        (("all.weights", "out"), "out: found the ending ''"),
        (("none.weights", "out.safetensors", "--cfg", "all.cfg"), "none.weights: No such file"),
        (("all.weights", "out.weights", "--cfg", "no.cfg"), "no.cfg"),
        (("all.weights", "out.weights", "--cfg", "both.cfg"), "layer 6 [connected]"),
        (("both.weights", "out.conv.7", "--cfg", "all.cfg", "--cutoff", 1), "is this another"),
        (
            ("all.weights", "out.conv.13", "--cutoff", 13),
            "all.cfg: found 12 layers, expected at le",
        ),
        (("all.weights", "all.weights", "--cutoff", 3), "found IN given as OUT"),
        (("all.weights", "out.weights", "--dialect", "pjreddie"), "layer 5 [batchnorm] biases"),
        (("all.cfg", "out.weights"), "all.cfg: found the ending '.cfg'"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(case, call, arguments, match):
    if "both.cfg" in arguments:  # a file that is shorter than what the cfg says
        (case / "all.weights").write_bytes(stored_networks.file_bytes(BOTH_LAYERS, PJREDDIE)[:-4])
    before = (case / "all.weights").read_bytes()
    wrong(call(*arguments), match, case)
    assert (case / "all.weights").read_bytes() == before


def test_a_safetensors_file_of_other_shapes_is_one_line(case, call):
    call("all.weights", "all.safetensors")
    tensors = load_file("all.safetensors")
    tensors["layers.0.conv.weight"] = torch.zeros(4, 3, 3, 2)
    save_file(
        tensors,
        "all.safetensors",
        {"format": "darknet", "version": "0.2.5", "seen": "0", "order": "alexeyab"},
    )
    wrong(call("all.safetensors", "out.weights"), "layers.0.conv.weight of shape [4, 3, 3, 2]", case)
    (case / "all.safetensors").write_bytes(b"no")
    wrong(call("all.safetensors", "out.weights"), "found a broken file", case)


@pytest.mark.parametrize("cutoff", ["0", "-1", "x", "1.5"])
def test_a_cutoff_is_a_whole_number_from_1_on(case, call, cutoff):
    code, _, err = call("all.weights", "out.weights", "--cutoff", cutoff)
    assert code == 2 and f"found '{cutoff}', expected a whole number from 1 on" in err


def test_help_shows_a_real_example(call):
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    assert "\n  yolo-darknet convert_weights weights/yolov3.weights weights/yolov3.conv.74 --cutoff 74\n" in out


def test_the_issues_command_line_on_a_shipped_network(project, tmp_path, call):
    """tools/convert_weights.py IN OUT --cutoff N, with nothing but the file's name to find the cfg by."""
    network = Network.from_cfg(project / "cfg" / "shapes.cfg")
    save_weights(network, tmp_path / "shapes.weights", seen=640)
    code, out, _ = call(tmp_path / "shapes.weights", tmp_path / "shapes.conv.3", "--cutoff", 3)
    assert code == 0
    part = (tmp_path / "shapes.conv.3").read_bytes()
    whole = (tmp_path / "shapes.weights").read_bytes()
    assert len(whole) == weights_bytes(network) and whole.startswith(part[20:], 20)
    assert part[:20] == struct.pack("<3iQ", 0, 2, 5, 0) and 20 < len(part) < len(whole)
    assert f"{len(part):,} bytes, layers 0 to 2, version 0.2.5, seen 0" in out
    fresh = Network.from_cfg(project / "cfg" / "shapes.cfg")
    load_weights(fresh, tmp_path / "shapes.conv.3", cutoff=3)
    assert torch.equal(fresh.layers[0].conv.weight, network.layers[0].conv.weight)


def test_the_cfg_that_a_safetensors_file_names_is_found(case, call):
    assert call("all.weights", "new/other.safetensors")[0] == 0
    code, out, err = call("new/other.safetensors", "back.weights")  # named after nothing
    assert (code, err) == (0, "cfg: all.cfg\n")
    assert (case / "back.weights").read_bytes() == (case / "all.weights").read_bytes()
    (case / "all.cfg").write_text(ALL_CFG + "\n# changed\n")
    wrong(call("new/other.safetensors", "out.weights"), "found no all.cfg with the bytes that", case)


def test_a_missing_input_is_named_before_its_cfg(case, call):
    wrong(call("away.weights", "out.safetensors"), "away.weights: No such file or directory", case)


def test_the_cfg_is_not_replaced(case, call):
    os.link(case / "all.cfg", case / "linked.weights")
    code, _, err = call("all.weights", "linked.weights")
    assert code == 2 and "linked.weights: found an input" in err
