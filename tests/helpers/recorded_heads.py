"""Heads of the cfgs with which Darknet's early heads were recorded (tests/golden/early_*.npz)."""

import numpy as np
from torch import nn

from yolo.cfg import parse_cfg
from yolo.model.building import BuildContext, Built
from yolo.model.heads.region import build_region
from yolo.model.heads.yolov1 import build_detection
from yolo.settings import InputSettings


def recorded_head(recorded, case, folder):
    """What is built of the [region] or [detection] of a case; its tree and map in `folder`, beside the cfg."""
    for kind in ("tree", "map"):
        text = recorded.get(f"{case}/{kind}", np.array(""))
        (folder / f"a.{kind}").write_text(str(text))
    section = parse_cfg(str(recorded[f"{case}/cfg"]), str(folder / "a.cfg"))[2]
    channels, height, width = recorded[f"{case}/raw"].shape[1:]
    context = BuildContext(
        input=InputSettings(height, width, channels, letter_box=False),
        dialect="pjreddie",
        built=(Built(nn.Identity(), (-1,), (channels, height, width)),),
        stored_values=0,
    )
    build = build_region if section.kind == "region" else build_detection
    return build(section, context)
