"""Print a cfg's layers as Darknet does, its parameters and the size of its .weights file.

example:
  yolo-darknet summary --cfg yolov3
"""

from yolo.console import add_cfg_option, add_dialect_option, command_parser


def main() -> None:
    parser = command_parser(__doc__)
    add_cfg_option(parser)
    add_dialect_option(parser, "groups of xnor layers")
    args = parser.parse_args()

    from yolo.model.network import Network
    from yolo.model.summary import layer_table
    from yolo.model.weights import weights_bytes

    network = Network.from_cfg(args.cfg, dialect=args.dialect)
    lines, billions = layer_table(network)
    print("\n".join(lines))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"Total BFLOPS {billions:.3f}")
    print(f"parameters {parameters:,}")
    print(f".weights {weights_bytes(network):,} bytes")
