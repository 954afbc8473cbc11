"""Time of 1x1 convolutions on one thread: by oneDNN, as the engine `torch` computes large maps, and as PyTorch chooses.

First single convolutions of maps channels last, for numbers of pixels, channels and images; then whole networks with
random weights, with the engine as it is and without oneDNN for these layers. Both are timed in turn. Times are of the
processor, the least of several. A ratio below 1 means that oneDNN is faster.

  python benchmarks/pointwise_speed.py --cfg cfg/yolov3-tiny.cfg yolo-fastest-1.1.cfg
"""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from yolo.console.run import run
from yolo.engines.pytorch import PointwiseConvolution, TorchMaps
from yolo.model.network import Network

SIDES = 104, 152, 208, 304  # of maps; all have more than MANY_PIXELS of yolo/engines/pytorch.py
CHANNELS = (4, 8), (8, 4), (8, 48), (32, 64), (64, 32), (128, 64), (128, 128), (256, 256)  # in, out
BATCHES = 1, 4
ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", nargs="*", default=[], metavar="CFG", help="networks to time besides")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for batch in BATCHES:
        print(f"{batch} images, oneDNN / PyTorch's choice: side of the map, then channels {CHANNELS}")
        for side in SIDES:
            print(f"{side:4}", *(f"{_ratio_of_layer(batch, *channels, side):5.2f}" for channels in CHANNELS))
    for cfg in args.cfg:
        network = Network.from_cfg(cfg).eval()
        network.draw_weights()
        images = torch.rand(1, network.input.channels, network.input.height, network.input.width)
        with_onednn, without = _seconds(TorchMaps(network), _without_onednn(network), images)
        print(f"{cfg}: {1000 * with_onednn:.1f} and {1000 * without:.1f} ms, ratio {with_onednn / without:.2f}")


@torch.inference_mode()
def _ratio_of_layer(batch: int, channels: int, filters: int, side: int) -> float:
    conv = nn.Conv2d(channels, filters, 1).to(memory_format=torch.channels_last)
    images = torch.rand(batch, channels, side, side).to(memory_format=torch.channels_last)
    mine, pytorch = _seconds(
        PointwiseConvolution(conv), lambda features: F.conv2d(features, conv.weight, conv.bias), images
    )
    return mine / pytorch


def _without_onednn(network: Network) -> TorchMaps:
    """Return the engine as it is where oneDNN is switched off when it is made."""
    torch.backends.mkldnn.enabled = False
    try:
        return TorchMaps(network)
    finally:
        torch.backends.mkldnn.enabled = True


def _seconds(first: Callable, second: Callable, images: Tensor) -> tuple[float, float]:
    """Return the least processor time of a call of each, timed in turn."""
    least = [float("inf"), float("inf")]
    for turn in range(ROUNDS + 2):  # two to warm up
        for at, compute in enumerate((first, second)):
            start, calls = time.process_time(), 0
            while calls == 0 or time.process_time() - start < 0.02:
                compute(images)
                calls += 1
            if turn > 1:
                least[at] = min(least[at], (time.process_time() - start) / calls)
    return least[0], least[1]


if __name__ == "__main__":
    run(main)
