"""Write and read the metadata of an exported file: names, input, heads, and the files that it was made from.

Names and forms of keys that ultralytics' programs read are theirs (names, imgsz, stride, task, batch, channels, args):
they convert stride, batch and channels to int and evaluate the others, also for classifiers.
"""

import ast
import importlib.metadata
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from yolo.defaults import CLASSIFIER_LAYOUT, DIALECT_NAMES, LAYOUT_NAMES
from yolo.errors import WeightsError, shorten
from yolo.files.contents import sha256_of
from yolo.files.text import escaped_text
from yolo.model.building import LARGEST_MAP
from yolo.model.heads.region import RegionHead
from yolo.model.heads.yolo import NMS_KINDS, YoloHead
from yolo.model.heads.yolov1 import YoloV1Head
from yolo.model.network import Network
from yolo.settings import LARGEST_SIDE

PRODUCER = "yolo-darknet"
DYNAMIC = "dynamic"  # `batch` of older files for any batch size
# Without this, Ultralytics' programs give a file for any batch size images of any size.
ARGS = {"dynamic": False, "nms": False}
LETTERBOX = "letterbox"
# What reading metadata raises that are damaged, or made to do harm: brackets or signs that are nested too deeply, too.
DAMAGED = (
    KeyError, ValueError, SyntaxError, TypeError, AttributeError, RuntimeError, MemoryError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class FileDescription:
    """What a program needs to run an exported file.

    layout: name of the output layout. names: of the classes. classifier: whether the outputs are class probabilities.
    size: (height, width) of the input. channels: of the input. batch: its batch size, None for any. letterbox:
    whether images keep their aspect ratio. nms_kind, beta_nms: of the last head. heads: constructor arguments of the
    heads, with `kind` and `layer`. dialect: the Darknet that the network follows.
    """

    layout: str
    names: tuple[str, ...]
    classifier: bool
    size: tuple[int, int]
    channels: int
    batch: int | None
    letterbox: bool
    nms_kind: str
    beta_nms: float
    heads: tuple[dict[str, Any], ...]
    dialect: str


def describe(network: Network, layout: str, names: Sequence[str], batch: int | None, letterbox: bool) -> dict[str, str]:
    """Return the metadata of an exported network.

    Args:
        network: The network.
        layout: Name of the output layout.
        names: Of the classes.
        batch: The batch size, None for any.
        letterbox: Whether images keep their aspect ratio.
    """
    heads = [_head_fields(network, index) for index in network.heads]
    version = package_version()
    described = {
        "producer": f"{PRODUCER} {version}",
        "version": version,
        "description": "a Darknet network",
        "layout": layout,
        "task": "detect" if heads else "classify",
        "names": str(dict(enumerate(names))),
        "imgsz": str([network.input.height, network.input.width]),
        "channels": str(network.input.channels),
        "color": "RGB, 0..1" if network.input.channels == 3 else "0..1",
        "batch": str(batch or 1),
        "dynamic_batch": str(batch is None),
        "args": str({"batch": batch or 1, **ARGS}),
        "stride": "1",
        "resize": LETTERBOX if letterbox else "stretch" if heads else "crop",
        "dialect": network.dialect,
    }
    if heads:
        last = network.head_settings[-1]
        described |= {
            "stride": str(max(_stride(network, index) for index in network.heads)),
            "strides": json.dumps([_stride(network, index) for index in network.heads]),
            "anchors": json.dumps([each.get("anchors", []) for each in heads]),
            "scale_x_y": json.dumps([each.get("scale_x_y", 1.0) for each in heads]),
            "new_coords": json.dumps([each.get("new_coords", False) for each in heads]),
            "heads": json.dumps(heads),
            "nms": json.dumps({"kind": last.nms_kind, "beta": last.beta_nms}),
        }
    return described


def describe_files(**files: Path) -> dict[str, str]:
    """Return for each file its name and the SHA-256 of its content: NAME and NAME_sha256."""
    described = {}
    for key, path in files.items():
        described |= {key: escaped_text(path.name), f"{key}_sha256": sha256_of(path)}
    return described


def read_description(path: str | Path, metadata: Mapping[str, str]) -> FileDescription:
    """Return the description in the metadata of an exported file.

    Raises:
        WeightsError: The file is of another program, or its metadata are damaged.
    """
    if not str(metadata.get("producer")).startswith(PRODUCER):
        raise WeightsError(f"{path}: found no metadata of {PRODUCER}, expected a file of `{PRODUCER} export`")
    try:
        description = _description(metadata)
        _check(description)
    except DAMAGED as error:
        raise WeightsError(f"{path}: found damaged metadata: {shorten(repr(error))}") from error
    return description


def _description(metadata: Mapping[str, str]) -> FileDescription:
    """Return the description in metadata. Raises one of DAMAGED."""
    if metadata["layout"] not in (*LAYOUT_NAMES, CLASSIFIER_LAYOUT):
        raise ValueError(f"layout {metadata['layout']}")
    height, width = ast.literal_eval(metadata["imgsz"])
    names = ast.literal_eval(metadata["names"])
    kind = json.loads(metadata.get("nms", '{"kind": "default", "beta": 0.6}'))
    return FileDescription(
        layout=metadata["layout"],
        names=tuple(names[index] for index in range(len(names))),
        classifier=metadata["task"] == "classify",
        size=(int(height), int(width)),
        channels=int(metadata["channels"]),
        batch=_batch_of(metadata),
        letterbox=metadata["resize"] == LETTERBOX,
        nms_kind=kind["kind"],
        beta_nms=float(kind["beta"]),
        heads=tuple(json.loads(metadata.get("heads", "[]"))),
        dialect=metadata["dialect"],
    )


def _check(description: FileDescription) -> None:
    """Raise ValueError or TypeError for a description that no network has."""
    height, width = description.size
    lengths = description.batch or 1, description.channels, height, width
    if min(lengths) < 1 or max(height, width) > LARGEST_SIDE or math.prod(lengths) > LARGEST_MAP:
        raise ValueError(f"input {' x '.join(map(str, lengths))}")
    names = description.names
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError("class names")
    if len(set(names)) < len(names) and not description.classifier:
        raise ValueError("a class name that occurs twice")
    if description.nms_kind not in NMS_KINDS or not math.isfinite(description.beta_nms):
        raise ValueError("nms")
    if description.dialect not in DIALECT_NAMES:
        raise ValueError("dialect")
    rebuild_heads(description)


def _batch_of(metadata: Mapping[str, str]) -> int | None:
    """Return the batch size, None for any."""
    if metadata["batch"] == DYNAMIC or metadata.get("dynamic_batch") == str(True):
        return None
    return int(metadata["batch"])


def rebuild_heads(description: FileDescription) -> list[nn.Module]:
    """Return the heads that decode the raw maps of a file."""
    return [_rebuild_head(dict(fields)) for fields in description.heads]


def _rebuild_head(fields: dict[str, Any]) -> nn.Module:
    kind, _ = fields.pop("kind"), fields.pop("layer")
    if kind == "yolo":
        anchors = torch.tensor(fields.pop("anchors"))
        fields["stride"] = tuple(fields["stride"])
        return YoloHead(all_anchors=anchors, anchor_ids=tuple(range(len(anchors))), **fields)
    if kind == "region":
        return RegionHead(anchors=torch.tensor(fields.pop("anchors")), **fields)
    return YoloV1Head(**fields)


def _head_fields(network: Network, index: int) -> dict[str, Any]:
    """Return the constructor arguments of a head, with its kind and the index of its layer."""
    head = network.layers[index]
    if isinstance(head, YoloHead):
        names = ("classes", "stride", "scale_x_y", "new_coords", "gaussian", "center_shift")
        kind, anchors = "yolo", {"anchors": head.anchors.tolist()}
    elif isinstance(head, RegionHead):
        names = ("classes", "softmax", "background")
        kind, anchors = "region", {"anchors": head.anchors.tolist()}
    else:
        names = ("classes", "side", "boxes", "squared", "softmax")
        kind, anchors = "detection", {}
    return {"kind": kind, "layer": index, **anchors, **{name: getattr(head, name) for name in names}}


def _stride(network: Network, index: int) -> int:
    """Return the width of a cell of a head in input pixels."""
    head = network.layers[index]
    cells = head.side if isinstance(head, YoloV1Head) else network.shapes[index][2]
    return network.input.width // cells


def package_version() -> str:
    """Return the version of this package, "0" if it is not installed."""
    try:
        return importlib.metadata.version(PRODUCER)
    except importlib.metadata.PackageNotFoundError:
        return "0"
