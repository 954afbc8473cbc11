"""Print a cfg's layers as Darknet does, its parameters and the size of its .weights file.

example:
  python tools/summary.py --cfg cfg/yolov3.cfg
"""

import argparse
from pathlib import Path

from yolo.console import add_dialect_option
from yolo.model.network import WEIGHTS_VERSIONS, Network
from yolo.model.summary import layer_table
from yolo.model.weights import weights_bytes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cfg", type=Path, required=True, metavar="FILE")
    add_dialect_option(parser, WEIGHTS_VERSIONS, "groups of xnor layers")
    args = parser.parse_args()
    network = Network.from_cfg(args.cfg, dialect=args.dialect)
    lines, billions = layer_table(network)
    print("\n".join(lines))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"Total BFLOPS {billions:.3f}")
    print(f"parameters {parameters:,}")
    print(f".weights {weights_bytes(network):,} bytes")
