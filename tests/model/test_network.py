"""yolo.model.network and its builders: forward passes that compiled Darknet recorded, the graph, wrong cfgs."""

import logging
import math
import time
import weakref

import numpy as np
import pytest
import torch

from tests.helpers.golden import make_weights, network_of, read_json
from yolo.cfg import parse_cfg
from yolo.errors import CfgError
from yolo.model.builders import BUILDERS
from yolo.model.network import MOST_OPERATIONS, MOST_OUTPUT_BYTES, Network, build
from yolo.model.summary import layer_table
from yolo.model.weights import load_weights

# Every case of ../shared/darknet_golden/forward. Classifiers end in [softmax] and [cost].
CLASSIFIERS = ("darknet19", "darknet53")
DETECTORS = (
    "Gaussian_yolov3_BDD",
    "csresnext50-panet-spp",
    "enet-coco",
    "yolov2",
    "yolov2-tiny",
    "yolov2-voc",
    "yolov3",
    "yolov3-spp",
    "yolov3-tiny",
    "yolov3-tiny-prn",
    "yolov3-voc",
    "yolov4",
    "yolov4-csp",
    "yolov4-tiny",
    "yolov4x-mish",
    "yolov7-tiny",
)
TOLERANCE = 1e-4  # of a tensor's largest value: what the golden README asks for

NET = "[net]\nwidth=12\nheight=8\nchannels=3\n"
CONV = "[convolutional]\nfilters={}\nactivation=linear\n"
YOLO = "[yolo]\nclasses=2\nnum=2\nmask=0,1\nanchors=1,2, 3,4\n"


# ---------------------------------------------------------------------------------------------- recorded by Darknet


def test_every_recorded_forward_case_is_tested(shared):
    recorded = {folder.name for folder in (shared / "darknet_golden/forward").iterdir()}
    assert recorded == {*DETECTORS, *CLASSIFIERS}


@pytest.mark.parametrize("name", DETECTORS)
def test_raw_maps_and_decoded_boxes_are_those_of_compiled_darknet(shared, name, tmp_path):
    network, case, expected, raw = recorded_forward(shared, name, tmp_path)
    assert network.heads == tuple(case["heads"])
    with torch.inference_mode():
        predictions = network.decode(raw)
    heads = [recorded_predictions(network, index, expected[f"output_{index}"]) for index in case["heads"]]
    for ours, theirs in zip(predictions, zip(*heads, strict=True), strict=True):
        theirs = np.concatenate(theirs)
        assert ours.shape == (1, *theirs.shape)
        assert relative_difference(ours[0], theirs) <= TOLERANCE


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_returns_the_input_of_its_softmax(shared, name, tmp_path):
    network, case, expected, raw = recorded_forward(shared, name, tmp_path)
    (index,) = case["heads"]
    with torch.inference_mode():
        probabilities = network.layers[index](raw[0])
    assert relative_difference(probabilities.flatten(), expected[f"output_{index}"].flatten()) <= TOLERANCE


def recorded_forward(shared, name, folder):
    """(network, case, expected, raw maps) of a golden case, the raw maps and all shapes compared already."""
    home = shared / "darknet_golden/forward" / name
    case, expected = read_json(home / "case.json"), np.load(home / "expected.npz")
    generator = make_weights(shared)
    weights = folder / "case.weights"
    generator.write_weights(case, weights)
    network = Network.from_cfg(home / case["cfg"]).eval()
    header = load_weights(network, weights)
    weights.unlink()
    assert header == (0, 2, 5, case["weights"]["seen"])
    for index, layer in enumerate(case["layers"]):
        if network.kinds[index] not in ("softmax", "cost"):  # Darknet notes no shape of them
            assert list(network.shapes[index]) == layer["shape"]

    raw, statistics = forward_with_statistics(network, torch.from_numpy(generator.network_input(case)))
    for index, map_ in zip(case["heads"], raw, strict=True):
        difference = relative_difference(map_, expected[f"logits_{index}"])
        culprit = first_differing(network, case, statistics)
        assert difference <= TOLERANCE, f"head {index}: off by {difference:.2g}; first differing layer: {culprit}"
    return network, case, expected, raw


def forward_with_statistics(network, images):
    """Raw maps, and for every layer its output's shape, mean, mean absolute value and largest absolute value."""
    statistics = {}

    def note(index):
        def hook(module, inputs, output):
            size = output.abs()
            statistics[index] = (list(output.shape[1:]), output.mean(), size.mean(), size.max())

        return hook

    handles = [layer.register_forward_hook(note(i)) for i, layer in enumerate(network.layers)]
    with torch.inference_mode():
        raw = network(images)
    for handle in handles:
        handle.remove()
    return raw, statistics


def first_differing(network, case, statistics):
    """The first layer whose statistics are not the recorded ones; not the heads, which Darknet recorded activated."""
    for layer in case["layers"]:
        index = layer["index"]
        if index in case["heads"] or network.kinds[index] == "cost":
            continue
        shape, mean, abs_mean, abs_max = statistics[index]
        allowed = TOLERANCE * layer["abs_max"]
        pairs = ((mean, layer["mean"]), (abs_mean, layer["abs_mean"]), (abs_max, layer["abs_max"]))
        if shape != layer["shape"] or any(abs(ours - theirs) > allowed for ours, theirs in pairs):
            ours = f"shape {shape} mean {mean:.6g} abs_mean {abs_mean:.6g} abs_max {abs_max:.6g}"
            return f"{index} [{network.kinds[index]}]: ours {ours}, recorded {layer}"
    return "none"


def relative_difference(ours, theirs):
    return np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max()


def recorded_predictions(network, index, output):
    """(boxes, objectness, class_probs) that Darknet's output of a head means."""
    head, kind = network.layers[index], network.kinds[index]
    anchors = head.anchors.numpy()[:, :, None, None]
    _, _, height, width = output.shape
    x, y, w, h, objectness, classes = recorded_values(kind, output.astype(np.float64), len(anchors))
    stretch = (lambda t: 4 * t**2) if getattr(head, "new_coords", False) else np.exp
    across, down = (width, height) if kind == "region" else (network.input.width, network.input.height)
    rows, columns = np.mgrid[:height, :width]
    boxes = np.stack(
        (
            (columns + x) / width,
            (rows + y) / height,
            stretch(w) * anchors[:, 0] / across,
            stretch(h) * anchors[:, 1] / down,
        ),
        axis=-1,
    )
    classes = np.moveaxis(classes, 1, -1)
    return boxes.reshape(-1, 4), objectness.reshape(-1), classes.reshape(-1, head.classes)


def recorded_values(kind, output, anchors):
    """x, y, w, h, objectness `[A, H, W]` and classes `[A, classes, H, W]` of a head's output; w and h are raw."""
    _, _, height, width = output.shape
    if kind == "region":  # its CPU code turns the map so that a cell's values lie together, and leaves x and y raw
        cells = output.reshape(height, width, anchors, -1).transpose(2, 3, 0, 1)
        x, y = (1 / (1 + np.exp(-cells[:, number])) for number in (0, 1))
        return x, y, cells[:, 2], cells[:, 3], cells[:, 4], cells[:, 5:]
    cells = output.reshape(anchors, -1, height, width)
    if kind == "yolo":
        return *(cells[:, number] for number in range(5)), cells[:, 5:]
    # Gaussian_yolo: an uncertainty follows each of x, y, w, h; what is left of certainty goes into the score
    certainty = 1 - cells[:, 1:8:2].mean(axis=1, keepdims=True)
    return *(cells[:, number] for number in (0, 2, 4, 6, 8)), cells[:, 9:] * certainty


# --------------------------------------------------------------------------------------------------------- the graph


def test_raw_maps_come_one_a_head_in_cfg_order_and_predictions_head_by_head():
    network = network_of(NET + CONV.format(14) + YOLO + "[route]\nlayers=-2\n[maxpool]\nsize=2\nstride=2\n" + YOLO)
    assert network.heads == (1, 4) and network.outputs == (1, 4)
    raw = network(torch.rand(5, 3, 8, 12))
    assert [tuple(map_.shape) for map_ in raw] == [(5, 14, 8, 12), (5, 14, 4, 6)]
    predictions = network.decode(raw)
    assert predictions.boxes.shape == (5, 2 * 8 * 12 + 2 * 4 * 6, 4)
    last = network.layers[4].decode(raw[1])
    assert torch.equal(predictions.boxes[:, 2 * 8 * 12 :], last.boxes)
    assert torch.equal(predictions.class_probs[:, 2 * 8 * 12 :], last.class_probs)


def test_a_network_without_a_head_returns_the_last_output_and_cannot_decode():
    network = network_of(NET + CONV.format(6) + CONV.format(4))
    raw = network(torch.rand(2, 3, 8, 12))
    assert [tuple(map_.shape) for map_ in raw] == [(2, 4, 8, 12)]
    with pytest.raises(ValueError, match="without a detection head"):
        network.decode(raw)


def test_the_raw_maps_are_the_same_kind_in_training_and_evaluation():
    network = network_of(NET + CONV.format(14) + YOLO)
    images = torch.rand(2, 3, 8, 12)
    assert torch.equal(network.train()(images)[0], network.eval()(images)[0])


def test_another_input_size_than_the_cfgs_needs_no_new_network():
    network = network_of(NET + CONV.format(14) + YOLO)
    assert network(torch.rand(1, 3, 16, 20))[0].shape == (1, 14, 16, 20)
    wide = build(parse_cfg(NET + CONV.format(14) + YOLO, "x.cfg"), size=(32, 48))[0]
    assert (wide.input.height, wide.input.width) == (32, 48) and wide.shapes[-1] == (14, 32, 48)


@pytest.mark.parametrize("shape", [(3, 8, 12), (1, 4, 8, 12), (1, 8, 12, 3)])
def test_images_of_another_shape_are_an_error(shape):
    with pytest.raises(ValueError, match=r"found images of shape .*, expected \[B, 3, H, W\]"):
        network_of(NET + CONV.format(14) + YOLO)(torch.zeros(shape))


def test_layer_references_count_from_the_start_or_back_from_here():
    text = NET + CONV.format(2) + CONV.format(4) + "[route]\nlayers=-1,0\n[shortcut]\nfrom=-2\n"
    network = network_of(text)
    assert network.sources == ((-1,), (0,), (1, 0), (2, 1))
    assert [shape[0] for shape in network.shapes] == [2, 4, 6, 6]


def test_a_route_with_groups_slices_each_of_its_inputs():
    text = NET + CONV.format(4) + CONV.format(6) + "[route]\nlayers=0,1\ngroups=2\ngroup_id=1\n"
    network = network_of(text)
    assert network.shapes[-1] == (5, 8, 12)
    images = torch.rand(1, 3, 8, 12)
    first = network.layers[0](images)
    second = network.layers[1](first)
    assert torch.equal(network(images)[0], torch.cat((first[:, 2:], second[:, 3:]), dim=1))


def test_maps_that_no_later_layer_reads_are_released():
    # layers: 0 conv, 1 conv, 2 conv, 3 route 1, 4 conv, 5 yolo; alive is asked when a layer begins
    text = NET + 3 * CONV.format(4) + "[route]\nlayers=1\n" + CONV.format(14) + YOLO
    network = network_of(text)
    outputs, alive = {}, {}

    def before(index):
        def hook(module, inputs):
            del inputs
            alive[index] = {number for number, output in outputs.items() if output() is not None}

        return hook

    def after(index):
        def hook(module, inputs, output):
            outputs[index] = weakref.ref(output)

        return hook

    for index, layer in enumerate(network.layers):
        layer.register_forward_pre_hook(before(index))
        layer.register_forward_hook(after(index))
    with torch.inference_mode():
        network(torch.rand(1, 3, 8, 12))
    assert alive == {0: set(), 1: {0}, 2: {1}, 3: {1}, 4: {1, 3}, 5: {4}}


def test_the_builder_reads_every_key_of_a_convolution():
    text = "[convolutional]\nfilters=6\ngroups=3\nsize=3\nstride_x=2\nstride_y=1\ndilation=2\npad=1\n"
    network = network_of(NET + text + "batch_normalize=1\nactivation=mish\n")
    conv = network.layers[0].conv
    assert (conv.out_channels, conv.groups, conv.kernel_size, conv.stride) == (6, 3, (3, 3), (1, 2))
    assert (conv.padding, conv.dilation) == ((2, 2), (2, 2))
    assert isinstance(network.layers[0].activation, torch.nn.Mish)
    assert network.shapes[0] == (6, 8, 6)
    assert network(torch.rand(1, 3, 8, 12))[0].shape == (1, 6, 8, 6)


def test_pad_overrides_padding_and_zero_is_no_pad():
    def padding(text):
        return network_of(NET + "[convolutional]\nsize=5\nactivation=linear\n" + text).layers[0].conv.padding

    assert padding("pad=1\npadding=1\n") == (2, 2)
    assert padding("pad=0\npadding=1\n") == (1, 1)
    assert padding("") == (0, 0)


def test_a_convolution_without_an_activation_is_logistic_and_a_shortcut_linear():
    network = network_of(NET + "[convolutional]\nfilters=3\n[shortcut]\nfrom=-1\n")
    assert isinstance(network.layers[0].activation, torch.nn.Sigmoid)
    assert isinstance(network.layers[1].activation, torch.nn.Identity)


def test_dropout_drops_in_training_only():
    network = network_of(NET + "[dropout]\nprobability=.5\n")
    images = torch.ones(1, 3, 8, 12)
    assert torch.equal(network.eval()(images)[0], images)
    assert set(network.train()(images)[0].unique().tolist()) == {0.0, 2.0}


def test_strides_of_a_head_are_pixels_a_cell_of_each_direction():
    network = network_of(NET + "[maxpool]\nsize=2\nstride_x=3\nstride_y=2\npadding=0\n" + CONV.format(14) + YOLO)
    assert network.layers[2].stride == (2.0, 3.0)


# ------------------------------------------------------------------------------------------------ cfgs that are wrong


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NET, "x.cfg: found only [net], expected 1 to 4096 layers after it"),
        (
            NET + "[convolution]\n",
            f"x.cfg:5: found [convolution], expected one of {', '.join(sorted(BUILDERS))}; did you mean "
            "[convolutional]?",
        ),
        (
            NET + "[convolutional]\nactivation=leakyy\n",
            "x.cfg:6: [convolutional] activation: found 'leakyy', expected one of linear, logistic, ",
        ),
        (
            NET + "[convolutional]\nfilters=4\ngroups=3\nactivation=linear\n",
            "x.cfg:6: [convolutional] filters: found '4', expected groups=3 to divide 3 channels and 4 filters",
        ),
        (
            NET + "[convolutional]\nfilters=4\ngroups=2\n",
            "x.cfg:7: [convolutional] groups: found '2', expected groups=2 to divide 3 channels and 4 filters",
        ),
        (
            NET + "[convolutional]\nsize=9\nactivation=linear\n",
            "x.cfg:6: [convolutional] size: found '9', expected a window that fits the input of 8x12",
        ),
        (
            NET + "[convolutional]\nsway=1\n",
            "x.cfg:6: [convolutional] sway: found '1', expected 0: this kind of convolution is not supported",
        ),
        (
            NET + "[maxpool]\nmaxpool_zero_nonmax=1\n",
            "x.cfg:6: [maxpool] maxpool_zero_nonmax: found '1', expected 0: changing the input",
        ),
        (
            NET + "[maxpool]\nsize=9\npadding=0\n",
            "x.cfg:6: [maxpool] size: found '9', expected a window that fits",
        ),
        (
            NET + CONV.format(4) + "[route]\nlayers=-1,1\n",
            "x.cfg:9: [route] layers: found 1 in layer 1, expected layers 0 to 0, or -1 to -1",
        ),
        (
            NET + CONV.format(4) + "[route]\nlayers=-2\n",
            "x.cfg:9: [route] layers: found -2 in layer 1, expected layers 0 to 0, or -1 to -1",
        ),
        (
            NET + CONV.format(4) + "[maxpool]\nsize=2\nstride=2\n[route]\nlayers=0,1\n",
            "x.cfg:12: [route] layers: found '0,1', expected maps of the same size; they are (8, 12) and (4, 6)",
        ),
        (
            NET + CONV.format(5) + "[route]\nlayers=0\ngroups=2\n",
            "x.cfg:10: [route] groups: found '2', expected a divisor of the 5 channels of layer 0",
        ),
        (
            NET + CONV.format(4) + "[route]\nlayers=0\ngroups=2\ngroup_id=2\n",
            "x.cfg:11: [route] group_id: found '2', expected a number below groups=2",
        ),
        (
            NET + CONV.format(4) + "[convolutional]\nfilters=4\nshare_index=0\n",
            "x.cfg:10: [convolutional] share_index: found a layer of weights [4, 3, 1, 1], batch_normalize=0, "
            "expected one of weights [4, 4, 1, 1], batch_normalize=0, as here",
        ),
        (
            NET + "[maxpool]\n[convolutional]\nshare_index=0\n",
            "x.cfg:7: [convolutional] share_index: found '0', expected a [convolutional] layer",
        ),
        (
            NET + "[convolutional]\nbin_output=1\n",
            "x.cfg:6: [convolutional] bin_output: found '1', expected 0, or xnor=1",
        ),
        (
            NET + "[convolutional]\nantialiasing=3\n",
            "x.cfg:6: [convolutional] antialiasing: found '3', expected 0, 1 (a 3x3 blur) or 2 (a 2x2 blur)",
        ),
        (
            NET + "[convolutional]\nsize=3\nfilters=2147483647\n",
            "x.cfg:7: [convolutional] filters: found 2,147,483,647 stored values up to this layer, expected",
        ),
        (
            NET + CONV.format(4) + "[upsample]\nstride=100000\n",
            "x.cfg:8: [upsample] found an output of 4x800000x1200000, expected at most 2147483647 values",
        ),
        (
            NET + "[maxpool]\nmaxpool_depth=1\nout_channels=4\n",
            "x.cfg:7: [maxpool] out_channels: found '4', expected at most the 3 channels of the previous layer",
        ),
        (
            NET + "[maxpool]\nsize=3\npadding=5\n",
            "x.cfg:7: [maxpool] padding: found '5', expected at most 4, so that every window contains a pixel",
        ),
        (
            NET + "[upsample]\nstride=-3\n",
            "x.cfg:6: [upsample] stride: found '-3', expected a divisor of 8x12",
        ),
        (
            NET + CONV.format(14) + YOLO + "[maxpool]\n",
            "x.cfg:13: found [maxpool] after the head in layer 1, expected [route]",
        ),
        (
            NET + "[gru]\noutput=4\n",
            "x.cfg:5: found [gru], expected a supported section; recurrent layers (Darknet runs them over ",
        ),
        (
            NET + CONV.format(4) + "[shortcut]\nfrom=7\n",
            "x.cfg:9: [shortcut] from: found 7 in layer 1, expected",
        ),
        (
            NET + CONV.format(14) + YOLO + "[route]\nlayers=1\n",
            "x.cfg:14: [route] layers: found 1, which is a head, expected a layer that is not a head",
        ),
        (
            NET + CONV.format(13) + YOLO,
            "x.cfg:9: [yolo] classes: found 13 filters in layer 0, expected 2 anchors x 7 values = 14 filters",
        ),
        (
            NET + CONV.format(14) + YOLO.replace("mask=0,1", "mask=1,2"),
            "x.cfg:11: [yolo] mask: found '1,2', expected anchors 0 to 1",
        ),
        (
            NET + CONV.format(14) + YOLO.replace("3,4", "3"),
            "x.cfg:12: [yolo] anchors: found 3, the smallest 1, expected positive numbers, two for each of num=2",
        ),
        (
            NET + "[dropout]\nprobability=1\n",
            "x.cfg:6: [dropout] probability: found '1', expected a number below 1",
        ),
        (
            NET + "policy=cosine\n" + CONV.format(4),
            "x.cfg:5: [net] policy: found 'cosine', expected one of constant, ",
        ),
    ],
)
def test_an_error_in_a_cfg_names_line_key_found_and_expected(text, message):
    with pytest.raises(CfgError) as caught:
        build(parse_cfg(text, "x.cfg"))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_classifier_with_logistic_has_independent_probabilities():
    network = network_of(NET + CONV.format(4) + "[logistic]\n")
    images = torch.rand(2, 3, 8, 12)
    (found,) = network(images)
    values = network.layers[0](images)
    assert torch.allclose(found, 1 / (1 + torch.exp(-values)), atol=1e-6)
    assert torch.equal(network.classify([found]), found.flatten(1))


def test_maps_of_unequal_size_add_every_second_pixel():
    text = NET + CONV.format(4) + "[maxpool]\nsize=2\nstride=2\n[shortcut]\nfrom=0\n"
    images = torch.rand(2, 3, 8, 12)
    network = network_of(text)
    large = network.layers[0](images)
    small = network.layers[1](large)
    assert torch.equal(network(images)[0], small + large[:, :, ::2, ::2])
    with pytest.raises(CfgError, match="x.cfg:13: .shortcut. from: found '0', expected maps with the same ratio"):
        build(parse_cfg(text.replace("stride=2", "stride_x=2\nstride_y=1"), "x.cfg"))


def test_a_dialect_is_one_of_two():
    with pytest.raises(ValueError, match="found dialect 'darknet', expected one of alexeyab, pjreddie"):
        build(parse_cfg(NET + CONV.format(4), "x.cfg"), dialect="darknet")


def test_a_softmax_in_the_middle_is_a_layer_like_any_other():
    network = network_of("[net]\nwidth=4\nheight=4\nchannels=1\n[softmax]\n[connected]\noutput=3\n[softmax]\n[cost]\n")
    (raw,) = network(torch.rand(2, 1, 4, 4))
    assert raw.shape == (2, 3, 1, 1) and network.classes == 3
    assert torch.allclose(network.classify([raw]).sum(dim=1), torch.ones(2))
    first = network_of("[net]\nwidth=2\nheight=2\nchannels=3\n[softmax]\n")
    images = torch.rand(1, 3, 2, 2)
    assert torch.equal(first(images)[0], images) and first.classes == 12


def test_weights_of_the_largest_networks_are_drawn_when_asked_for():
    text = "[net]\nwidth=64\nheight=64\nchannels=3\n[connected]\noutput={}\n"
    large, small = (build(parse_cfg(text.format(outputs), "x.cfg"))[0] for outputs in (13_000, 2))
    assert not large.drawn and not large.layers[0].linear.weight[0].any()  # 159,757,000 numbers
    assert small.drawn and small.layers[0].linear.weight.count_nonzero() > 20_000
    small.layers[0].linear.weight.data.zero_()
    small.draw_weights()
    assert small.layers[0].linear.weight.count_nonzero() > 20_000


def test_keys_that_nothing_reads_are_logged_once_with_their_lines(tmp_path, caplog):
    path = tmp_path / "odd.cfg"
    path.write_text(NET + "track=1\n[convolutional]\nfilter=8\nactivation=linear\n")
    with caplog.at_level(logging.WARNING):
        Network.from_cfg(path)
    assert caplog.messages == [f"{path}: unused or repeated keys: track=1 (line 5), filter=8 (line 7)"]


def test_of_very_many_unused_keys_the_first_ones_are_named(tmp_path, caplog):
    path = tmp_path / "odd.cfg"
    path.write_text(NET + "[convolutional]\n" + "".join(f"k{number}=1\n" for number in range(1000)))
    with caplog.at_level(logging.WARNING):
        Network.from_cfg(path)
    (line,) = caplog.messages
    assert line.endswith("k18=1 (line 24), k19=1 (line 25) and 980 more") and line.count("(line ") == 20


def test_a_cfg_whose_every_key_is_read_logs_nothing(tmp_path, caplog):
    path = tmp_path / "good.cfg"
    path.write_text(NET + CONV.format(14) + YOLO)
    with caplog.at_level(logging.WARNING):
        Network.from_cfg(path)
    assert caplog.messages == []


HEADS = "[convolutional]\nfilters={}\n[yolo]\nclasses={}\n"


@pytest.mark.parametrize(
    ("text", "darknet"),
    [
        (HEADS.format(7, 2) + "[route]\nlayers=-2\n" + HEADS.format(8, 3),
         r"classes: found '3', expected 2, as in the first head; Darknet runs it, but has room for the classes"),
        ("[convolutional]\nfilters=39\n[region]\ncoords=18\n",
         r"coords: found '18', expected 4: x, y, w, h; AlexeyAB's Darknet takes the fifth number as objectness"),
        ("[crnn]\nhidden=4\n", r"found \[crnn\], .*recurrent layers \(Darknet runs them over the time"),
        ("[reorg]\nextra=1\n", r"extra: found '1', .*other reorg \(AlexeyAB's Darknet leaves the key out\)"),
        ("[activation]\nactivation=softplus\n", r"found 'softplus', expected one of .*; Darknet takes relu"),
    ],
)  # fmt: skip
def test_what_darknet_runs_as_something_else_is_an_error_with_the_reason(text, darknet):
    with pytest.raises(CfgError, match=rf"^x.cfg:\d+: .*{darknet}") as error:
        build(parse_cfg(NET + text, "x.cfg"))
    assert "\n" not in str(error.value)


def test_silu_is_swish():
    text = NET + "[convolutional]\nfilters=3\nsize=3\nactivation={}\n"
    torch.manual_seed(0)
    images = torch.rand(1, 3, 8, 12)
    silu, swish = (network_of(text.format(name)) for name in ("silu", "swish"))
    silu.load_state_dict(swish.state_dict())
    assert torch.equal(silu(images)[0], swish(images)[0])


CONV_OF = "[convolutional]\nfilters={}\nsize=3\npad=1\nactivation=leaky\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # 32 maps of 8100 x 8100 pixels: 2 * 27 * 32 operations for each pixel, then 2 * 31 * 31 * 32 * 32
        (
            "[net]\nwidth=8100\nheight=8100\n" + CONV_OF.format(32) + CONV_OF.format(32).replace("size=3", "size=31"),
            r"x.cfg:9: \[convolutional\] found 129,242 BFLOPs for one image up to this layer, expected at most 100,0",
        ),
        # an [activation] of 3 x 30000 x 20000 values has 6.7 GiB: the 39th of them exceeds 256
        (
            "[net]\nwidth=30000\nheight=20000\n" + "[activation]\nactivation=relu\n" * 39,
            r"x.cfg:80: \[activation\] found 262 GiB of outputs for one image up to this layer, expected at most 256",
        ),
        ("[net]\nwidth=1000000\nheight=8\n[avgpool]\n", "x.cfg:2: .* width: found 1000000, expected at most 32767"),
        ("[net]\nwidth=8\nheight=8\n[upsample]\nstride=1000000\n", r"x.cfg:4: \[upsample\] found an output of"),
        ("[net]\nwidth=8\nheight=8\n[maxpool]\nstride=1000000\n", r"x.cfg:5: \[maxpool\] stride: found"),
    ],
)
def test_a_network_that_no_machine_computes_is_refused_at_once(text, message):
    start = time.process_time()
    with pytest.raises(CfgError, match=message):
        build(parse_cfg(text, "x.cfg"))
    assert time.process_time() - start < 5  # it would be minutes


def test_the_limits_of_an_image_are_far_above_every_shipped_network(project):
    for path in ("yolov4.cfg", "yolov3-spp.cfg"):  # those with the most operations and outputs
        network = Network.from_cfg(project / "cfg" / path)
        assert layer_table(network)[1] * 1e9 < MOST_OPERATIONS / 500
        assert 4 * sum(math.prod(shape) for shape in network.shapes) < MOST_OUTPUT_BYTES / 300
