"""yolo.model.summary: Darknet's layer table. Rows of yolov3 as AlexeyAB's Darknet prints them, operations by hand."""

import pytest
from tiny import cfg_text, network_of

from yolo.model.network import Network
from yolo.model.summary import HEADER, layer_table


def words(line):
    return " ".join(line.replace(" x", " x ").split())


def test_a_row_a_layer_below_the_header():
    network = network_of(cfg_text())
    lines, total = layer_table(network)
    assert lines[0] == HEADER and len(lines) == 1 + len(network.layers)
    # by hand: 2 * 3*3*3 * 6 * 24*32 operations; 4 * 6 * 12*16; 2 * 3*3*6 * 12 * 6*8; 2 * 12 * 14 * 6*8
    expected = 2 * 27 * 6 * 24 * 32 + 4 * 6 * 12 * 16 + 2 * 54 * 12 * 6 * 8 + 2 * 12 * 14 * 6 * 8
    assert total * 1e9 == pytest.approx(expected)
    assert words(lines[1]) == "0 conv 6 3x3/2 64 x 48 x 3 -> 32 x 24 x 6"  # 0.0002 BF: not shown
    assert words(lines[2]) == "1 max 2x2/2 32 x 24 x 6 -> 16 x 12 x 6"


def test_rows_of_yolov3_as_darknet_has_them(project):
    network = Network.from_cfg(project / "cfg" / "yolov3.cfg", size=(416, 416))
    lines, total = layer_table(network)
    rows = [words(line) for line in lines[1:]]
    assert rows[0] == "0 conv 32 3x3/1 416 x 416 x 3 -> 416 x 416 x 32 0.299 BF"
    assert rows[1] == "1 conv 64 3x3/2 416 x 416 x 32 -> 208 x 208 x 64 1.595 BF"
    assert rows[61] == "61 shortcut 58 -> 26 x 26 x 512"
    assert rows[81] == "81 conv 255 1x1/1 13 x 13 x 1024 -> 13 x 13 x 255 0.088 BF"
    assert rows[83] == "83 route 79 -> 13 x 13 x 512"
    assert rows[85].startswith("85 upsample 2x 13 x 13 x 256 -> 26 x 26 x 256")
    assert rows[86] == "86 route 85 61 -> 26 x 26 x 768"
    assert total == pytest.approx(65.88, abs=0.02)  # published: 65.86 for the convolutions alone


def test_groups_strides_and_dilation_are_shown():
    text = (
        "[net]\nwidth=16\nheight=8\nchannels=4\n"
        "[convolutional]\nfilters=8\nsize=3\npad=1\ngroups=4\nactivation=linear\n"
        "[convolutional]\nfilters=2\nsize=3\npad=1\nstride_x=2\nstride_y=1\nactivation=linear\n"
        "[convolutional]\nfilters=2\nsize=3\npad=1\ndilation=2\nactivation=linear\n"
    )
    lines, _ = layer_table(network_of(text))
    rows = [words(line) for line in lines[1:]]
    assert rows[0].startswith("0 conv 8/4 3x3/1 16 x 8 x 4 -> 16 x 8 x 8")
    assert rows[1].startswith("1 conv 2 3x3/2x1 16 x 8 x 8 -> 8 x 8 x 2")
    assert rows[2].startswith("2 conv 2 3x3/1(2) 8 x 8 x 2 -> 8 x 8 x 2")
