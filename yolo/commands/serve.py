"""Answer requests over HTTP: detections as JSON or drawn, DeepStack's API, a page to try it, a live stream.

Needs the extra `serve`. Without --host, only this machine can use the service. Open the printed address in a browser
for the page; docs/serve.md explains the routes and shows clients.

example:
  yolo-darknet serve --cfg yolov4-tiny --weights yolov4-tiny --names coco
  curl --data-binary @dog.jpg http://127.0.0.1:8000/detect

example of two networks, by name, on all addresses of the machine:
  yolo-darknet serve --model coco=yolov4-tiny,yolov4-tiny,coco --model plates=plates.onnx --host 0.0.0.0 \\
      --api-key-file key.txt
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from yolo.console.command_line import command_parser
from yolo.console.option_types import cfg_file, fraction, names_file, positive, weights_file, whole_number
from yolo.console.options import (
    OptionGroup,
    add_cfg_option,
    add_device_option,
    add_dialect_option,
    add_engine_options,
    add_names_option,
    add_set_option,
    add_weights_option,
    check_engine_options,
)
from yolo.defaults import NMS_THRESH, SCORE_THRESH
from yolo.errors import CfgError
from yolo.extras import import_extra
from yolo.files.contents import open_input

if TYPE_CHECKING:
    from yolo.serve.limits import Limits
    from yolo.serve.models import ModelFiles

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")  # of a model: as it is in addresses
PACKAGES = ("fastapi", "uvicorn", "python_multipart")
KEY_VARIABLE = "YOLO_API_KEY"  # of the environment: the API key, which other users see in a command line
MEGABYTE = 2**20


def main() -> None:
    args = _arguments()
    for package in PACKAGES:
        import_extra(package, "serve", "yolo-darknet serve")

    from yolo.serve.app import make_app
    from yolo.serve.http.access import Access, allowed_hosts, is_loopback
    from yolo.serve.http.server import address_of, listening_socket, run_app
    from yolo.serve.models import NetworkOptions, open_models

    with closing(listening_socket(args.host, args.port)) as bound:  # before the networks are read, which takes long
        key = _api_key(args.api_key, args.api_key_file)
        numbers = args.engine, args.precision, args.device, args.dialect, args.letterbox, args.calibrate
        options = NetworkOptions(*numbers, tuple(args.overrides))
        models = open_models(_model_files(args), options, args.thresh, args.nms)
        if not is_loopback(args.host) and key is None:
            remark = (
                f"{args.host}: everyone who reaches this machine can use the service; --api-key-file FILE sets a key"
            )
            print(remark, file=sys.stderr)
        limits = _limits(args)
        access = Access(key, allowed_hosts(args.host, args.allow_host))
        app = make_app(models, limits, access, args.stream, args.log_requests)
        names = ", ".join(model.name for model in models)
        address = address_of(bound)
        run_app(app, bound, limits, lambda: print(f"{names}: {address}  (Ctrl-C ends)", flush=True))
    print("stopped", flush=True)


def _model_files(args: argparse.Namespace) -> list[ModelFiles]:
    """Return the files of --cfg and --weights, then those of each --model."""
    from yolo.serve.models import ModelFiles

    files = []
    if args.cfg is not None:
        files.append(ModelFiles(_usable_name(args.cfg.stem), None, args.cfg, args.weights, args.names))
    for name, paths in args.model:
        if len(paths) == 1:
            files.append(ModelFiles(name or _usable_name(Path(paths[0]).stem), Path(paths[0])))
        else:
            cfg, weights = cfg_file(paths[0]), weights_file(paths[1])
            names = names_file(paths[2]) if len(paths) == 3 else None
            files.append(ModelFiles(name or _usable_name(cfg.stem), None, cfg, weights, names))
    return files


def _usable_name(stem: str) -> str:
    if not NAME.fullmatch(stem):
        raise CfgError(f"{stem}: found a file name that is no name for a model, expected --model NAME=...")
    return stem


def _model(text: str) -> tuple[str | None, list[str]]:
    """A type for argparse: [NAME=]CFG,WEIGHTS[,NAMES] or [NAME=]FILE, as (NAME, files)."""
    name, equals, rest = text.partition("=")
    named = equals and "/" not in name and "," not in name
    if named and not NAME.fullmatch(name):
        raise argparse.ArgumentTypeError(f"found the name {name!r}, expected letters, digits and . _ -")
    files = (rest if named else text).split(",")
    if len(files) > 3 or not all(files):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected [NAME=]CFG,WEIGHTS[,NAMES] or [NAME=]FILE")
    return name if named else None, files


def _api_key(given: str | None, path: Path | None) -> str | None:
    """Return the API key of the options or the environment, None without one."""
    key = given or os.environ.get(KEY_VARIABLE) or None
    if path is not None:
        with open_input(path) as file:
            key = file.read().decode("latin-1").strip()
    if key is not None and not (key.isascii() and key.isprintable() and key.strip()):
        raise CfgError("--api-key: found an empty key or other letters than ASCII, expected a secret of ASCII letters")
    return key


def _limits(args: argparse.Namespace) -> Limits:
    from yolo.serve.limits import Limits

    body = int(args.max_megabytes * MEGABYTE)
    return Limits(
        body_bytes=body,
        held_bytes=max(Limits.held_bytes, 2 * body),
        pixels=args.max_pixels,
        images=args.max_images,
        waiting=max(args.queue, args.max_images),
        batch=args.batch,
        read_seconds=args.read_timeout,
        answer_seconds=args.timeout,
    )


def _arguments() -> argparse.Namespace:
    parser = command_parser(__doc__)
    _add_network_options(parser)
    _add_access_options(parser.add_argument_group("address and access"))
    _add_limit_options(parser.add_argument_group("limits"))
    args = parser.parse_args()
    check_engine_options(parser, args)
    if (args.cfg is None) != (args.weights is None):
        parser.error("found only one of --cfg and --weights, expected both")
    if args.cfg is None and not args.model:
        parser.error("the following arguments are required: --cfg, --weights (or --model)")
    return args


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the networks and their computation."""
    add_cfg_option(parser, required=False)
    add_weights_option(parser, required=False)
    add_names_option(parser)
    add = parser.add_argument
    add(
        "--model", type=_model, action="append", default=[], metavar="[NAME=]FILES",
        help="a network by its name, may be repeated: CFG,WEIGHTS[,NAMES], or a file of `yolo-darknet export` (a .pt2 "
        "or .torchscript can run any code: only ones that you trust)",
    )  # fmt: skip
    add(
        "--thresh",
        type=fraction,
        default=SCORE_THRESH,
        metavar="T",
        help=f"score threshold of requests without one; default {SCORE_THRESH:g}",
    )
    add(
        "--nms", type=fraction, default=NMS_THRESH, metavar="T",
        help=f"NMS threshold of requests without one; default {NMS_THRESH:g}",
    )  # fmt: skip
    add("--letterbox", action="store_true", help="keep the aspect ratio of images, as in pjreddie's Darknet")
    add_dialect_option(parser, "layers, placement of the image (pjreddie: --letterbox)")
    add_set_option(parser)
    add_device_option(parser)
    add_engine_options(parser)


def _add_access_options(group: OptionGroup) -> None:
    """Add the options for where the service listens, who may ask, and what it shows."""
    add = group.add_argument
    add("--host", default="127.0.0.1", metavar="HOST", help="listen here; 0.0.0.0: on all addresses; default 127.0.0.1")
    add("--port", type=_port, default=8000, metavar="N", help="port; 0: a free one; default 8000")
    add("--api-key", metavar="KEY", help=f"key that requests must send; {KEY_VARIABLE} or --api-key-file is safer")
    add("--api-key-file", type=Path, metavar="FILE", help="file with the API key")
    add(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="a host name that requests may use for this machine, such as that of a proxy; may be repeated",
    )  # fmt: skip
    add(
        "--stream", metavar="SOURCE",
        help="show a live video with boxes: an address (rtsp://, http://), the number of a camera, a video file",
    )  # fmt: skip
    add("--log-requests", action="store_true", help="print a line for each request on stderr")


def _add_limit_options(group: OptionGroup) -> None:
    """Add the limits of a request, of what waits, and of time."""
    add = group.add_argument
    one = whole_number(1)
    add("--max-megabytes", type=positive, default=20, metavar="MB", help="of a request; default 20")
    add("--max-pixels", type=one, default=2**26, metavar="N", help=f"of an image; default {2**26:,}")
    add("--max-images", type=one, default=32, metavar="N", help="of a request; default 32")
    add("--queue", type=one, default=128, metavar="N", help="images that may wait; more get 503; default 128")
    add("--batch", type=one, metavar="N", help="images that are computed together, at most; default 4, on a GPU 16")
    add("--timeout", type=positive, default=30, metavar="S", help="seconds from a body to its answer; default 30")
    add("--read-timeout", type=positive, default=20, metavar="S", help="seconds for a body to arrive; default 20")


def _port(text: str) -> int:
    """A type for argparse: a number of a port."""
    number = whole_number(0)(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number from 0 to 65535")
    return number
