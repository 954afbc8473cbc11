"""yolo.model.summary: Darknet's layer table. Rows of yolov3 as AlexeyAB's Darknet prints them, operations by hand."""

import re

import pytest

from tests.helpers.tiny_data import cfg_text, network_of
from yolo.model.network import Network
from yolo.model.summary import HEADER, layer_table

NET = "[net]\nwidth=16\nheight=8\nchannels=4\n"
CONV = "[convolutional]\nfilters={}\nsize=3\npad=1\nactivation=linear\n"

# A cfg, and what compiled pjreddie's Darknet (f6afaab) printed while it built it.
RECORDED_CFG = """[net]
width=32
height=16
channels=3
[convolutional]
filters=200
size=3
stride=2
pad=1
activation=leaky
batch_normalize=1
[maxpool]
size=3
stride=2
[convolutional]
filters=64
groups=8
size=5
padding=1
activation=linear
[upsample]
stride=2
[reorg]
stride=2
[upsample]
stride=-2
[convolutional]
filters=4000
size=3
pad=1
activation=relu
"""
RECORDED_TABLE = """
    0 conv    200  3 x 3 / 2    32 x  16 x   3   ->    16 x   8 x 200  0.001 BFLOPs
    1 max          3 x 3 / 2    16 x   8 x 200   ->     8 x   4 x 200
    2 conv     64  5 x 5 / 1     8 x   4 x 200   ->     6 x   2 x  64  0.001 BFLOPs
    3 upsample            2x     6 x   2 x  64   ->    12 x   4 x  64
    4 reorg              / 2    12 x   4 x  64   ->     6 x   2 x 256
    5 downsample          2x     6 x   2 x 256   ->     3 x   1 x 256
    6 conv   4000  3 x 3 / 1     3 x   1 x 256   ->     3 x   1 x4000  0.055 BFLOPs
"""


def words(line):
    return " ".join(line.replace(" x", " x ").split())


def table_of(text):
    """The rows below the header, and the operations of all of them."""
    lines, total = layer_table(network_of(text))
    return [words(line) for line in lines[1:]], round(total * 1e9)


def test_the_table_has_one_row_per_layer_below_the_header():
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
    assert total == pytest.approx(65.864, abs=0.0005)  # as Darknet's own log has it


def test_rows_have_the_numbers_that_pjreddies_darknet_prints():
    rows, _ = table_of(RECORDED_CFG)
    recorded = RECORDED_TABLE.strip().splitlines()
    for row, line in zip(rows, recorded, strict=True):
        if row.startswith("2 "):
            assert row.startswith("2 conv 64/8 ")
            row = row.replace("64/8", "64")  # pjreddie does not print the groups
        numbers, count = line.replace("BFLOPs", "BF"), re.search(r"[\d.]+ BF", row)
        assert re.findall(r"[\d.]+", row) == re.findall(r"[\d.]+", numbers)
        assert row.split()[1] == line.split()[1]
        assert (count is not None) == ("BFLOPs" in line)


def test_a_route_of_more_layers_than_a_line_has_room_for_is_shown():
    text = NET + CONV.format(2) + "[route]\nlayers=" + ",".join(["-1"] * 50) + "\n"
    assert table_of(text)[0][1].startswith("1 route 0 0 0") and table_of(text)[0][1].endswith("0 -> 16 x 8 x 100")


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


def test_a_shared_convolution_has_the_operations_of_its_owner():
    shared = "[convolutional]\nshare_index=0\nfilters=4\nsize=3\npad=1\nstride=2\nactivation=relu\n"
    rows, count = table_of(NET + CONV.format(4) + shared)
    assert rows[1] == "1 convS 4 3x3/2 16 x 8 x 4 -> 8 x 4 x 4"
    assert count == 2 * 36 * 4 * 16 * 8 + 2 * 36 * 4 * 8 * 4
    rows, count = table_of(NET + CONV.format(4) + shared + "antialiasing=1\n")
    assert rows[1] == "1 convS 4 3x3/1 16 x 8 x 4 -> 16 x 8 x 4"
    assert rows[2] == "AA: conv 4/4 3x3/2 16 x 8 x 4 -> 8 x 4 x 4"
    assert count == 2 * (2 * 36 * 4 * 16 * 8)


def test_signs_count_a_32nd_where_the_input_is_signs_too():
    xnor, count = table_of(NET + CONV.format(2) + "xnor=1\n")
    assert xnor == ["0 convX 2 3x3/1 16 x 8 x 4 -> 16 x 8 x 2"]
    assert count == 2 * 36 * 2 * 16 * 8 // 32
    binary, count = table_of(NET + CONV.format(2) + "binary=1\n")
    assert binary == ["0 conv 2 3x3/1 16 x 8 x 4 -> 16 x 8 x 2"]
    assert count == 2 * 36 * 2 * 16 * 8


def test_a_blur_has_a_line_of_its_own_which_does_not_count():
    """As AlexeyAB's Darknet: the convolution strides by 1, the convolution inside it that blurs by the cfg's stride."""
    text = CONV.format(6) + "stride=2\nantialiasing=1\n"
    rows, count = table_of(NET + text)
    assert rows == [
        "0 conv 6 3x3/1 16 x 8 x 4 -> 16 x 8 x 6",
        "AA: conv 6/6 3x3/2 16 x 8 x 6 -> 8 x 4 x 6",
    ]
    assert count == 2 * 36 * 6 * 16 * 8
    rows, _ = table_of(NET + text.replace("antialiasing=1", "antialiasing=2"))
    assert rows[1] == "AA: conv 6/6 2x2/2 16 x 8 x 6 -> 8 x 4 x 6"


def test_the_shape_before_a_blur_may_be_smaller_than_the_input():
    text = "[convolutional]\nfilters=3\nsize=5\nstride=3\nantialiasing=1\nactivation=linear\n"
    rows, count = table_of(NET + text)
    assert rows == [
        "0 conv 3 5x5/1 16 x 8 x 4 -> 12 x 4 x 3",
        "AA: conv 3/3 3x3/3 12 x 4 x 3 -> 4 x 2 x 3",
    ]
    assert count == 2 * 100 * 3 * 12 * 4
    # windows of 5 pixels, 2 apart, reach over 9; padding is 1 * 2 on each side
    rows, _ = table_of(NET + text + "dilation=2\npadding=1\nbinary=1\n")
    assert rows == [
        "0 conv 3 5x5/1(2) 16 x 8 x 4 -> 12 x 4 x 3",
        "AA: conv 3/3 3x3/3 12 x 4 x 3 -> 4 x 2 x 3",
    ]


def test_pooling_of_every_kind():
    text = (
        "[maxpool]\nsize=3\nstride_x=2\nstride_y=1\n"
        "[maxpool]\nsize=2\nstride=2\nantialiasing=1\n"
        "[local_avgpool]\nsize=3\nstride=2\n"
        "[maxpool]\nmaxpool_depth=1\nout_channels=3\n"
        "[avgpool]\n"
    )
    rows, count = table_of(NET + text)
    assert rows == [
        "0 max 3x3/2x1 16 x 8 x 4 -> 8 x 8 x 4",
        "1 max 2x2/1 8 x 8 x 4 -> 8 x 8 x 4",
        "AA: conv 4/4 3x3/2 8 x 8 x 4 -> 4 x 4 x 4",
        "2 avg 3x3/2 4 x 4 x 4 -> 2 x 2 x 4",
        "3 max-depth 1x1/1 2 x 2 x 4 -> 2 x 2 x 3",
        "4 avg 2 x 2 x 3 -> 1 x 1 x 3",
    ]
    # by hand: size² times the output's values; of the depth the input's; the mean of all counts nothing
    assert count == 9 * 8 * 8 * 4 + 4 * 8 * 8 * 4 + 9 * 2 * 2 * 4 + 2 * 2 * 4


def test_layers_whose_operations_darknet_does_not_count():
    text = (
        "[crop]\ncrop_width=8\ncrop_height=6\n"
        "[local]\nfilters=5\nsize=3\nstride=2\n"
        "[dropout]\nprobability=.25\n"
        "[dropout]\nprobability=.1\ndropblock=1\n"
        "[batchnorm]\n"
        "[normalization]\nsize=3\n"
        "[conn]\noutput=12\n"
        "[activation]\nactivation=relu\n"
        "[soft]\n"
        "[cost]\n"
    )
    rows, count = table_of(NET + text)
    assert rows == [
        "0 crop 16 x 8 x 4 -> 8 x 6 x 4",
        "1 local 5 3x3/2 8 x 6 x 4 -> 3 x 2 x 5",
        "2 dropout p = 0.25 3 x 2 x 5 -> 3 x 2 x 5",
        "3 dropblock p = 0.10 3 x 2 x 5 -> 3 x 2 x 5",
        "4 batchnorm 3 x 2 x 5 -> 3 x 2 x 5",
        "5 lrn 3 3 x 2 x 5 -> 3 x 2 x 5",
        "6 connected 3 x 2 x 5 -> 1 x 1 x 12",
        "7 activation 1 x 1 x 12 -> 1 x 1 x 12",
        "8 softmax 1 x 1 x 12 -> 1 x 1 x 12",
        "9 cost 1 x 1 x 12 -> 1 x 1 x 12",
    ]
    assert count == 0


def test_layers_of_several_inputs_show_which_and_how():
    same = "[convolutional]\nfilters=4\nactivation=linear\n"
    text = (
        f"{same}[route]\nlayers=-1\ngroups=2\ngroup_id=1\n"
        f"[route]\nlayers=-1,0\n{same}[shortcut]\nfrom=0\nactivation=linear\n"
        "[shortcut]\nfrom=0,3\nactivation=linear\nweights_type=per_feature\nweights_normalization=relu\n"
        "[shortcut]\nfrom=3\nactivation=linear\nweights_type=per_channel\nweights_normalization=softmax\n"
        "[sam]\nfrom=0\n[avgpool]\n[scale_channels]\nfrom=0\n"
    )
    rows, _ = table_of(NET + text)
    assert rows[1:3] == ["1 route 0 1/2 -> 16 x 8 x 2", "2 route 1 0 -> 16 x 8 x 6"]
    assert rows[4:8] == [
        "4 shortcut 0 -> 16 x 8 x 4",
        "5 shortcut 0 3 wt = 1, wn = 1 -> 16 x 8 x 4",
        "6 shortcut 3 wt = 2, wn = 2 -> 16 x 8 x 4",
        "7 sam 0 -> 16 x 8 x 4",
    ]
    assert rows[9] == "9 scale 0 -> 16 x 8 x 4"


def test_layers_that_change_the_size_show_their_stride():
    text = (
        "[reorg]\nstride=2\n[reorg]\nstride=2\nreverse=1\n"
        "[reorg3d]\nstride=4\n[upsample]\nstride=3\n[upsample]\nstride=-3\n"
    )
    rows, count = table_of(NET + text)
    assert rows == [
        "0 reorg /2 16 x 8 x 4 -> 8 x 4 x 16",
        "1 reorg /2 8 x 4 x 16 -> 16 x 8 x 4",
        "2 reorg3d /4 16 x 8 x 4 -> 4 x 2 x 64",
        "3 upsample 3x 4 x 2 x 64 -> 12 x 6 x 64",
        "4 downsample 3x 12 x 6 x 64 -> 4 x 2 x 64",
    ]
    assert count == 0


def test_all_arrows_are_in_one_column():
    routes = ",".join(str(index) for index in range(12))  # longer than the column of sizes
    text = (
        f"{CONV.format(4) * 12}[route]\nlayers={routes}\n[route]\nlayers=0\ngroups=2\n"
        "[normalization]\n[local_avgpool]\nsize=3\n[dropout]\nprobability=.5\n"
        "[convolutional]\nfilters=10000\nactivation=linear\n[avgpool]\n[activation]\nactivation=relu\n"
        "[convolutional]\nfilters=4\nstride=2\nantialiasing=1\nactivation=linear\n[reorg]\nstride=1\n"
        "[convolutional]\nfilters=22\nactivation=linear\n"
        "[Gaussian_yolo]\nclasses=2\nnum=2\nmask=0,1\nanchors=1,2, 3,4\n"
    )
    lines, _ = layer_table(network_of(NET + text))
    assert {line.index("->") for line in lines[1:]} == {56}
