"""Print a cfg's layers as Darknet does, its parameters and the size of its .weights file; or explain it key by key.

examples:
  yolo-darknet summary --cfg yolov3
  yolo-darknet summary --cfg yolov3 --explain
"""

import shutil

from yolo.console.command_line import command_parser
from yolo.console.options import add_cfg_option, add_dialect_option

WIDTHS = (60, 120)  # characters of a line of the explanation: narrower or wider ones are hard to read
FILE_WIDTH = 100  # of a line where the output is no terminal


def main() -> None:
    parser = command_parser(__doc__)
    add_cfg_option(parser)
    add_dialect_option(parser, "groups of xnor layers")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="print what each key means, whether it is a default, ignored or unknown, and what each layer computes",
    )
    args = parser.parse_args()

    if args.explain:
        from yolo.support.explained_cfg import explain_cfg

        columns = shutil.get_terminal_size((FILE_WIDTH, 0)).columns
        width = min(max(columns, WIDTHS[0]), WIDTHS[1])
        print("\n".join(explain_cfg(args.cfg, width, args.dialect)))
        return

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
