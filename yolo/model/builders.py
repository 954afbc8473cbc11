"""The kinds of section: which builder makes a layer of each, and which kinds are refused by name."""

import difflib
from collections.abc import Callable

from yolo.cfg import Section
from yolo.errors import CfgError
from yolo.model import (
    build_convolution,
    build_dense,
    build_heads,
    build_normalise,
    build_pooling,
    build_wiring,
)
from yolo.model.graph import Before, Built

Builder = Callable[[Section, Before], Built]

# A new kind is a layer, a builder and a row here.
BUILDERS: dict[str, Builder] = {
    "conv": build_convolution.build_convolutional,
    "convolutional": build_convolution.build_convolutional,
    "conn": build_dense.build_connected,
    "connected": build_dense.build_connected,
    "local": build_dense.build_local,
    "max": build_pooling.build_maxpool,
    "maxpool": build_pooling.build_maxpool,
    "local_avg": build_pooling.build_local_avgpool,
    "local_avgpool": build_pooling.build_local_avgpool,
    "avg": build_pooling.build_avgpool,
    "avgpool": build_pooling.build_avgpool,
    "shortcut": build_wiring.build_shortcut,
    "route": build_wiring.build_route,
    "upsample": build_wiring.build_upsample,
    "reorg": build_wiring.build_reorg,
    "reorg3d": build_wiring.build_reorg3d,
    "scale_channels": build_wiring.build_scale_channels,
    "sam": build_wiring.build_sam,
    "activation": build_wiring.build_activation,
    "logistic": build_wiring.build_logistic,
    "crop": build_normalise.build_crop,
    "batchnorm": build_normalise.build_batchnorm,
    "lrn": build_normalise.build_normalization,
    "normalization": build_normalise.build_normalization,
    "dropout": build_normalise.build_dropout,
    "soft": build_normalise.build_softmax,
    "softmax": build_normalise.build_softmax,
    "cost": build_normalise.build_cost,
    "empty": build_normalise.build_empty,
    "silence": build_normalise.build_empty,
    "yolo": build_heads.build_yolo,
    "Gaussian_yolo": build_heads.build_gaussian_yolo,
    "region": build_heads.build_region,
    "detection": build_heads.build_detection,
}

# What Darknet has beyond networks that look at a picture: refused by name.
BEYOND_PICTURES: dict[str, str] = {
    "rnn": "recurrent layers",
    "gru": "recurrent layers",
    "lstm": "recurrent layers",
    "conv_lstm": "recurrent layers",
    "crnn": "recurrent layers",
    "history": "layers that remember earlier pictures",
    "contrastive": "layers for contrastive training",
    "implicit": "layers of implicit knowledge (YOLOR)",
    "iseg": "heads for instance segmentation",
    "deconv": "transposed convolutions",
    "deconvolutional": "transposed convolutions",
    "l2norm": "layers without a shape",
}


def find_builder(section: Section) -> Builder:
    """The builder of a section. Raises CfgError for a kind that is unknown, or known and beyond pictures."""
    if section.kind in BUILDERS:
        return BUILDERS[section.kind]
    where = f"{section.path}:{section.line}: found [{section.kind}]"
    if section.kind in BEYOND_PICTURES:
        reason = BEYOND_PICTURES[section.kind]
        raise CfgError(f"{where}, expected a section that is supported, which {reason} are not")
    close = difflib.get_close_matches(section.kind, BUILDERS, n=1)
    hint = f"; did you mean [{close[0]}]?" if close else ""
    raise CfgError(f"{where}, expected one of {', '.join(sorted(BUILDERS))}{hint}")
