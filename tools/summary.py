"""Print a cfg's layers as Darknet does, its parameters and the size of its .weights file.

example:
  python tools/summary.py --cfg cfg/yolov3.cfg
"""

import argparse
from pathlib import Path

from yolo.console import run
from yolo.model.network import Network
from yolo.model.summary import layer_table
from yolo.model.weights import weights_bytes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cfg", type=Path, required=True, metavar="FILE")
    network = Network.from_cfg(parser.parse_args().cfg)
    lines, billions = layer_table(network)
    print("\n".join(lines))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"Total BFLOPS {billions:.3f}")
    print(f"parameters {parameters:,}")
    print(f".weights {weights_bytes(network):,} bytes")


if __name__ == "__main__":
    run(main)
