"""Early heads as Darknet recorded them (tests/golden/early_*.npz), and the deltas of their losses."""

import numpy as np
import torch
from torch import nn

from yolo.cfg import parse_cfg
from yolo.model.building import BuildContext, Built
from yolo.model.heads.region import build_region
from yolo.model.heads.yolov1 import build_detection
from yolo.records import Targets
from yolo.settings import InputSettings
from yolo.train.losses.assign import DIALECTS
from yolo.train.losses.head_loss import LossOptions, summed


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


def recorded_losses(project, kind):
    """What was recorded of the losses of "region" or "detection", by case and name."""
    with np.load(project / "tests" / "golden" / "early_losses.npz") as file:
        return {key: file[key] for key in file.files if key.startswith(f"{kind}_")}


def recorded_targets(recorded, case):
    names = ("image_index", "labels", "boxes")
    return Targets(*(torch.from_numpy(recorded[f"{case}/{name}"]) for name in names))


def head_deltas(head_terms, head, settings, raw, targets, *, seen, dialect="pjreddie"):
    """Return the HeadLoss, and -d(its sum)/d(raw)."""
    leaf = torch.as_tensor(raw).clone().requires_grad_()
    found = summed(head_terms(head, settings, LossOptions(DIALECTS[dialect], seen, "autograd"), leaf, targets))
    (found.box + found.objectness + found.classification).backward()
    return found, -leaf.grad


def one_target(label, *box):
    """One box, cxcywh, of the first image."""
    return Targets(torch.tensor([0]), torch.tensor([label]), torch.tensor([box]))
