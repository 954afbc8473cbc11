"""The network input of a cfg, for the page of a data set; without a cfg an input of 416 x 416 is assumed."""

from collections.abc import Mapping
from pathlib import Path

from yolo.data.head_anchors import heads_of, placement_of
from yolo.data_file import DataFile
from yolo.explain.data_set.survey import NetworkView
from yolo.letterbox import letterboxed, stretched
from yolo.model.network import Network

ASSUMED = (416, 416)  # of yolov3.cfg and most others


def network_view(cfg: Path | None, overrides: Mapping[str, str], dialect: str) -> NetworkView:
    """Return how a network gets images: size, placement, channels and anchors.

    Args:
        cfg: the file; None: no network.
        overrides: other values of its keys.
        dialect: alexeyab or pjreddie, which decides how an image is placed.

    Raises:
        CfgError: no network can be built from the cfg.
    """
    if cfg is None:
        return NetworkView(ASSUMED, letterboxed if dialect == "pjreddie" else stretched)
    network = Network.from_cfg(cfg, overrides=overrides, dialect=dialect)
    heads = tuple(heads_of(network))
    return NetworkView(
        size=(network.input.height, network.input.width),
        placed=placement_of(network),
        channels=network.input.channels,
        heads=heads,
        iou_thresh=min((getattr(each, "iou_thresh", 1.0) for each in network.head_settings), default=1.0),
        in_cells=bool(heads) and network.kinds[heads[0].layer] == "region",
        cfg=Path(cfg).name,
        classifies=not network.heads,
    )


def is_classification(data: DataFile, frame: NetworkView) -> bool:
    """Return whether a .data file is a classifier's: its lists are folders, or the network is one, or there is none
    and the file has labels= without names=.
    """
    folders = any(path is not None and path.is_dir() for path in (data.train, data.valid))
    return folders or frame.classifies or ("labels" in data.entries and "names" not in data.entries and not frame.cfg)
