"""The table of builders, one for each kind of section, and the kinds that are not supported."""

import difflib
from collections.abc import Callable

from yolo.cfg import Section
from yolo.errors import CfgError
from yolo.model.building import BuildContext, Built
from yolo.model.heads import region, yolo, yolov1
from yolo.model.layers import (
    convolution,
    crop,
    dense,
    dropout,
    elementwise,
    normalization,
    pooling,
    resampling,
    softmax,
    wiring,
)

Builder = Callable[[Section, BuildContext], Built]

# To add a kind of section: write the layer and its builder, and add a row here.
BUILDERS: dict[str, Builder] = {
    "conv": convolution.build_convolutional,
    "convolutional": convolution.build_convolutional,
    "conn": dense.build_connected,
    "connected": dense.build_connected,
    "local": dense.build_local,
    "max": pooling.build_maxpool,
    "maxpool": pooling.build_maxpool,
    "local_avg": pooling.build_local_avgpool,
    "local_avgpool": pooling.build_local_avgpool,
    "avg": pooling.build_avgpool,
    "avgpool": pooling.build_avgpool,
    "shortcut": wiring.build_shortcut,
    "route": wiring.build_route,
    "upsample": resampling.build_upsample,
    "reorg": resampling.build_reorg,
    "reorg3d": resampling.build_reorg3d,
    "scale_channels": wiring.build_scale_channels,
    "sam": wiring.build_sam,
    "activation": elementwise.build_activation,
    "logistic": elementwise.build_logistic,
    "crop": crop.build_crop,
    "batchnorm": normalization.build_batchnorm,
    "lrn": normalization.build_normalization,
    "normalization": normalization.build_normalization,
    "dropout": dropout.build_dropout,
    "soft": softmax.build_softmax,
    "softmax": softmax.build_softmax,
    "cost": elementwise.build_cost,
    "empty": elementwise.build_empty,
    "silence": elementwise.build_empty,
    "yolo": yolo.build_yolo,
    "Gaussian_yolo": yolo.build_gaussian_yolo,
    "region": region.build_region,
    "detection": yolov1.build_detection,
}

# Kinds that Darknet has and that are not supported, with the reason for the error.
RECURRENT = "recurrent layers (Darknet runs them over the time steps of a sequence)"
UNSUPPORTED: dict[str, str] = {
    "rnn": RECURRENT,
    "gru": RECURRENT,
    "lstm": RECURRENT,
    "conv_lstm": RECURRENT,
    "crnn": RECURRENT,
    "history": "layers that keep the values of earlier images",
    "contrastive": "layers for contrastive training",
    "implicit": "layers for implicit knowledge (YOLOR)",
    "iseg": "heads for instance segmentation",
    "deconv": "transposed convolutions",
    "deconvolutional": "transposed convolutions",
    "l2norm": "layers without a shape",
}


def get_builder(section: Section) -> Builder:
    """Return the builder of a section. Raises CfgError for a kind that is unknown or not supported."""
    if section.kind in BUILDERS:
        return BUILDERS[section.kind]
    where = f"{section.path}:{section.line}: found [{section.kind}]"
    if section.kind in UNSUPPORTED:
        reason = UNSUPPORTED[section.kind]
        raise CfgError(f"{where}, expected a supported section; {reason} are not supported")
    close = difflib.get_close_matches(section.kind, BUILDERS, n=1)
    hint = f"; did you mean [{close[0]}]?" if close else ""
    raise CfgError(f"{where}, expected one of {', '.join(sorted(BUILDERS))}{hint}")
