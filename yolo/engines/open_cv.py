"""The engine `opencv`: OpenCV's dnn module, which needs no further package, with as many threads as PyTorch uses."""

import os
from functools import partial

import cv2
import torch
from torch import Tensor

from yolo.engines.cache import open_cached
from yolo.engines.fold import folded
from yolo.engines.shapes import MapsByShape, Runner, RunnerPool, Shape
from yolo.model.network import Network


def opencv_maps(network: Network) -> MapsByShape:
    """Return the engine, which computes in float32. Raises MissingPackageError: onnx, to export, is not installed."""
    copied = folded(network).cpu()
    names = [f"map{index}" for index in range(len(copied.outputs))]

    def make_runner(shape: Shape) -> Runner:
        net = open_cached(copied, shape[2:], lambda path: cv2.dnn.readNetFromONNX(os.fspath(path)))

        def run(images: Tensor) -> list[Tensor]:
            threads = torch.get_num_threads()
            if cv2.getNumThreads() != threads:
                cv2.setNumThreads(threads)  # of the whole process, as OpenCV has it
            net.setInput(images.numpy())
            return [torch.from_numpy(each.copy()) for each in net.forward(names)]

        return run

    return MapsByShape(lambda shape: RunnerPool(partial(make_runner, shape)))
