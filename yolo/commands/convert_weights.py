"""Convert trained weights: .weights to .safetensors and back, or the layers below --cutoff N to a backbone file.

IN and OUT are told apart by their names: NAME.weights (or NAME.conv.N) and NAME.safetensors. Without --cfg the cfg of
the same name is taken, beside IN or in this project's cfg/. There and back again gives the same bytes.

example, as Darknet's `partial yolov3.cfg yolov3.weights yolov3.conv.74 74`:
  python tools/convert_weights.py weights/yolov3.weights weights/yolov3.conv.74 --cutoff 74
"""

import argparse
import re
from pathlib import Path

from yolo.console import new_file, whole_number
from yolo.errors import CfgError, WeightsError
from yolo.model.network import WEIGHTS_VERSIONS, Network
from yolo.model.safetensors_file import save_state
from yolo.model.weights import SAFETENSORS, check_rest, load_weights, save_weights
from yolo.records import WeightsFormat, WeightsHeader

SHIPPED = Path(__file__).resolve().parents[2] / "cfg"
DARKNET = re.compile(r"\.(weights|backup|[0-9]+)")  # .backup: AlexeyAB's interrupted trainings
BACKBONE = re.compile(r"(\.conv)?\.[0-9]+$")  # darknet53.conv.74, resnet50.65


def main() -> None:
    args = _arguments()
    for path in (args.input, args.output):
        _check_name(path)
    if args.output.resolve() == args.input.resolve():
        raise WeightsError(f"{args.output}: found IN given as OUT, expected another file")
    cfg = args.cfg or _find_cfg(args.input)
    network = Network.from_cfg(cfg, dialect=args.dialect or "alexeyab")
    layers = len(network.layers)
    if args.cutoff is not None and args.cutoff > layers:
        raise CfgError(f"{cfg}: found {layers} layers, expected at least --cutoff {args.cutoff}")
    header = _load(network, args)
    if args.dialect:
        network.weights_format = WeightsFormat(WEIGHTS_VERSIONS[args.dialect], args.dialect)
    seen = header.seen if args.cutoff is None else 0  # Darknet's partial counts from 0 too
    if args.output.suffix == SAFETENSORS:
        save_state(network, args.output, seen, args.cutoff, cfg)
    else:
        save_weights(network, args.output, seen, args.cutoff)
    size, last = args.output.stat().st_size, (args.cutoff or layers) - 1
    version = ".".join(map(str, network.weights_format.version))
    print(
        f"wrote {args.output}: {size:,} bytes, layers 0 to {last}, version {version}, seen {seen}"
    )


def _load(network: Network, args: argparse.Namespace) -> WeightsHeader:
    header = load_weights(network, args.input, args.cutoff)
    if args.cutoff is not None and args.input.suffix != SAFETENSORS:
        check_rest(network, args.input, args.cutoff)
    return header


def _check_name(path: Path) -> None:
    if path.suffix != SAFETENSORS and not DARKNET.fullmatch(path.suffix):
        hint = ""
        if path.suffix == ".pt":
            hint = "; training writes a .weights beside each checkpoint"
        raise WeightsError(
            f"{path}: found the ending {path.suffix!r}, "
            f"expected .weights, .safetensors or .conv.N{hint}"
        )


def _find_cfg(weights: Path) -> Path:
    """The cfg of a file's name, beside it or in cfg/. Raises CfgError where there is none."""
    stem = BACKBONE.sub("", weights.name) if BACKBONE.search(weights.name) else weights.stem
    places = [weights.parent / f"{stem}.cfg", SHIPPED / f"{stem}.cfg"]
    for place in places:
        if place.is_file():
            return place
    raise CfgError(
        f"{weights}: found no {places[0]} and no {places[1]}, expected --cfg FILE: "
        "a .weights file does not say which layers it holds"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "input",
        type=Path,
        metavar="IN",
        help="weights to read: of the whole network, or with --cutoff of those layers",
    )
    add("output", type=new_file, metavar="OUT", help="file to write; folders are made")
    add("--cfg", type=Path, metavar="FILE", help="the network of IN; default: by IN's name")
    add("--cutoff", type=whole_number(1), metavar="N", help="only layers below N, with seen = 0")
    add(
        "--dialect",
        choices=tuple(WEIGHTS_VERSIONS),
        help="write for this Darknet; default: as IN is, with --cutoff for AlexeyAB's",
    )
    return parser.parse_args()
