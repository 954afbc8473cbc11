"""Convert weights: .weights to .safetensors and back, or the layers below --cutoff N to a backbone file.

The endings of IN and OUT name their formats: NAME.weights (or NAME.conv.N) and NAME.safetensors. Without --cfg, the
cfg of the same name is used, beside IN or of those that come with the package. Converting there and back gives the
same bytes.

example, as Darknet's `partial yolov3.cfg yolov3.weights yolov3.conv.74 74`:
  yolo-darknet convert_weights weights/yolov3.weights weights/yolov3.conv.74 --cutoff 74
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_parser
from yolo.console.option_types import cfg_file, new_file, whole_number
from yolo.defaults import DIALECT_NAMES
from yolo.errors import CfgError, WeightsError, counted
from yolo.files.outputs import refuse_over_inputs
from yolo.named_files import shipped_files

if TYPE_CHECKING:
    from yolo.model.network import Network
    from yolo.records import WeightsHeader

SAFETENSORS = ".safetensors"
DARKNET = re.compile(r"\.(weights|backup|[0-9]+)")  # .backup: AlexeyAB's interrupted trainings
BACKBONE = re.compile(r"(\.conv)?\.[0-9]+$")  # darknet53.conv.74, resnet50.65


def main() -> None:
    args = _arguments()

    from yolo.model.network import WEIGHTS_VERSIONS, Network
    from yolo.model.safetensors_file import save_state
    from yolo.model.weights import save_weights
    from yolo.records import WeightsFormat

    for path in (args.input, args.output):
        _check_name(path)
    with open(args.input, "rb"):  # raises its own error, before one about a cfg
        pass
    if args.output.resolve() == args.input.resolve():
        raise WeightsError(f"{args.output}: found IN given as OUT, expected another file")
    cfg = args.cfg or _find_cfg(args.input)
    refuse_over_inputs([args.output], [args.input, cfg])
    network = Network.from_cfg(cfg, dialect=args.dialect or "alexeyab")
    layers = len(network.layers)
    if args.cutoff is not None and args.cutoff > layers:
        raise CfgError(f"{cfg}: found {counted(layers, 'layer')}, expected at least --cutoff {args.cutoff}")
    header = _load(network, args.input, args.cutoff)
    if args.dialect:
        network.weights_format = WeightsFormat(WEIGHTS_VERSIONS[args.dialect], args.dialect)
    seen = header.seen if args.cutoff is None else 0  # Darknet's partial counts from 0 too
    if args.output.suffix == SAFETENSORS:
        save_state(network, args.output, seen, args.cutoff, cfg)
    else:
        save_weights(network, args.output, seen, args.cutoff)
    if args.cfg is None:
        print(f"cfg: {cfg}", file=sys.stderr)
    size, last = args.output.stat().st_size, (args.cutoff or layers) - 1
    version = ".".join(map(str, network.weights_format.version))
    print(f"wrote {args.output}: {size:,} bytes, layers 0 to {last}, version {version}, seen {seen}")


def _load(network: Network, path: Path, cutoff: int | None) -> WeightsHeader:
    from yolo.model.weights import check_rest, load_weights

    header = load_weights(network, path, cutoff)
    if cutoff is not None and path.suffix != SAFETENSORS:
        check_rest(network, path, cutoff)
    return header


def _check_name(path: Path) -> None:
    if path.suffix != SAFETENSORS and not DARKNET.fullmatch(path.suffix):
        hint = "; training writes a .weights beside each checkpoint" if path.suffix == ".pt" else ""
        raise WeightsError(
            f"{path}: found the ending {path.suffix!r}, expected .weights, .safetensors or .conv.N{hint}"
        )


def _find_cfg(weights: Path) -> Path:
    """Return the cfg that the metadata of a .safetensors file name, or the one of the weights' name.

    It is beside the weights, in the current folder or a shipped one. Of one that the metadata name, the bytes must be
    the same. Raises CfgError if there is none.
    """
    from yolo.model.safetensors_file import read_cfg_note

    stem = BACKBONE.sub("", weights.name) if BACKBONE.search(weights.name) else weights.stem
    name, digest = read_cfg_note(weights) if weights.suffix == SAFETENSORS else (None, None)
    shipped = shipped_files(".cfg")
    for wanted in filter(None, (name, f"{stem}.cfg")):
        places = [weights.parent / wanted, Path(wanted), shipped.get(wanted.removesuffix(".cfg"))]
        for path in filter(None, places):
            if path.is_file() and (wanted != name or hashlib.sha256(path.read_bytes()).hexdigest() == digest):
                return path
    if name:
        raise CfgError(f"{weights}: found no {name} with the bytes that the file was made with, expected --cfg FILE")
    raise CfgError(
        f"{weights}: found no {weights.parent / f'{stem}.cfg'} and no {stem} among the cfgs of the package, "
        "expected --cfg FILE: a .weights file does not name its layers"
    )


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("input", type=Path, metavar="IN",
        help="weights to read: of the whole network, or with --cutoff of the layers below it")  # fmt: skip
    add("output", type=new_file, metavar="OUT", help="file to write; missing folders are made")
    add("--cfg", type=cfg_file, metavar="FILE", help="the network of IN; default: by IN's name")
    add("--cutoff", type=whole_number(1), metavar="N", help="only layers below N, with seen = 0")
    add("--dialect", choices=DIALECT_NAMES,
        help="write for this Darknet; default: that of IN, with --cutoff AlexeyAB's")  # fmt: skip
    return parser.parse_args()
