"""Every layout of every network of the recorded zoo: one ONNX file with the outputs of all layouts, any batch size."""

import pytest
import torch

from tests.deploy.test_opencv import zoo_network
from tests.model.test_network import CLASSIFIERS, DETECTORS
from yolo.deploy.check import largest_difference
from yolo.deploy.layouts import CLASSIFIER_LAYOUTS, LAYOUTS, NMS, ArrangedNetwork, choose_layout
from yolo.engines.fold import folded
from yolo.engines.onnx_file import open_onnx, run_onnx, write_onnx

TOLERANCE = 1e-4  # of the largest value


@pytest.mark.parametrize(
    "name",
    [
        "yolov3-tiny",
        *(pytest.param(each, marks=pytest.mark.slow) for each in (*DETECTORS, *CLASSIFIERS) if each != "yolov3-tiny"),
    ],
)
def test_every_layout_equals_torch(shared, tmp_path, name):
    network = folded(zoo_network(shared, name, tmp_path))
    chosen = [
        choose_layout(each, network, one_image=False, score_thresh=0.25, nms_thresh=0.45)
        for each in (LAYOUTS if network.heads else CLASSIFIER_LAYOUTS)
        if each != NMS  # the tensorrt layout and a node
    ]

    def arrange(network, raw):
        return tuple(output for layout in chosen for output in layout.arrange(network, raw))

    names = [f"{layout.name}_{output}" for layout in chosen for output in layout.output_names]
    shape = network.input.channels, network.input.height, network.input.width
    for opset in (12, 18):
        path = tmp_path / f"{opset}.onnx"
        traced = torch.rand(2, *shape)
        write_onnx(
            ArrangedNetwork(network, arrange), traced, path, output_names=names, opset=opset, dynamic_batch=True
        )  # fmt: skip
        session = open_onnx(path, 1)
        for batch in (1, 3, 8):
            images = torch.rand(batch, *shape)
            found = run_onnx(session, images)
            for layout in chosen:
                count = len(layout.output_names)
                mine, found = found[:count], found[count:]
                assert largest_difference(layout, network, images, mine) <= TOLERANCE, (layout.name, opset)
            assert not found
