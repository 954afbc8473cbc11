"""The meanings of all sections and keys of a cfg, for the support table. The builders decide which keys are read."""

SECTIONS: dict[str, str] = {
    "net": "The network input and how the network is trained.",
    "convolutional": "Convolution, batch norm, activation, blur.",
    "connected": "Fully connected layer.",
    "local": "Convolution with different weights at each place.",
    "maxpool": "Maximum of each window; the padding value is -inf.",
    "local_avgpool": "Mean of each window, over the pixels inside the map.",
    "avgpool": "Mean of each channel.",
    "shortcut": "Sum of the previous layer and others.",
    "route": "Concatenation of layers along the channels, or of one group of channels of each.",
    "upsample": "Repeat each pixel, or sum blocks of pixels.",
    "reorg": "YOLOv2's permutation, which is not a plain space to depth.",
    "reorg3d": "Space to depth.",
    "scale_channels": "Another layer times one factor per channel (squeeze and excitation).",
    "sam": "Another layer times the previous one, value by value (spatial attention).",
    "activation": "An activation function.",
    "logistic": "The logistic function: the end of a classifier with several labels per image.",
    "crop": "The center of the image; a random part in training.",
    "batchnorm": "Batch norm.",
    "lrn": "Local response normalization over channels, with Darknet's own running sum.",
    "dropout": "Random zeros in training; no effect in evaluation.",
    "softmax": "Probabilities that add up to 1. `Network(images)` returns the input of the last one.",
    "cost": "The loss of classifiers; returns its input.",
    "empty": "Returns its input.",
    "yolo": "Head of YOLOv3, v4, v7.",
    "Gaussian_yolo": "Head of Gaussian YOLOv3: as [yolo], with an uncertainty for each of x, y, w, h.",
    "region": "Head of YOLOv2 and YOLO9000.",
    "detection": "Head of YOLOv1.",
}

FILTERS = "number of output channels"
ACTIVATION = "see Activations"

STRIDES = {
    "stride": "pixels from one window to the next",
    "stride_x": "horizontal stride; -1: stride",
    "stride_y": "vertical stride; -1: stride",
}

WINDOW = {
    **STRIDES,
    "size": "side of the window",
    "padding": "sum of both sides; if it is odd, right and bottom get one pixel more",
}

BLUR = "1: blur with a 3x3 kernel, which then has the stride; 2: with a 2x2 kernel"
FROM = "index of the other layer; negative: counted back from here"
NO_EFFECT = "read; has no effect here"

AUGMENTATION = {
    "jitter": "training: largest crop of each side, as a fraction",
    "resize": "training: largest zoom",
    "random": "1 or a factor: change the input size every ten batches in training",
}

YOLO = {
    "classes": "number of classes",
    "num": "number of anchors of all heads",
    "mask": "indices of this head's anchors",
    "anchors": "width, height of each, in pixels of the network input",
    "scale_x_y": "factor s of x and y within their cell: s x - (s - 1) / 2",
    "max": "training: largest number of ground truths per image",
    "ignore_thresh": "training: no objectness loss for negatives above this IoU with any ground truth",
    "truth_thresh": "training: predictions above this IoU with a ground truth are positive",
    "iou_thresh": "training: below 1, other anchors above this overlap with a ground truth are positive too",
    "iou_thresh_kind": "training: the overlap that iou_thresh is compared with",
    "label_smooth_eps": "training: label smoothing",
    "focal_loss": "1: focal class loss in training",
    "objectness_smooth": "1: the target of objectness is the overlap in training",
    "counters_per_class": "training: number of objects of each class; rare classes get larger weights",
    "iou_loss": "training: box loss",
    "iou_normalizer": "training: weight of the box loss",
    "obj_normalizer": "training: weight of the objectness loss",
    "cls_normalizer": "training: weight of the class loss, with counters_per_class",
    "delta_normalizer": "training: weight of all losses of this head",
    "max_delta": "training: largest delta of an IoU loss",
    **AUGMENTATION,
    "nms_kind": "kind of NMS in detection",
    "beta_nms": "exponent of diounms",
}

REGION_AND_DETECTION = {
    "classes": "number of classes",
    "coords": "numbers of a box; must be 4",
    "num": "boxes per cell",
    "max": "training: largest number of ground truths per image",
    "coord_scale": "training: weight of the box loss",
    "object_scale": "training: weight of the objectness of cells with an object",
    "noobject_scale": "training: weight of the objectness of the other cells",
    "class_scale": "training: weight of the class loss",
    "rescore": "1: the target of objectness is the IoU in training",
    **AUGMENTATION,
}

# Keys of every section but [net].
EVERY_LAYER = {
    "learning_rate": "training: factor of the network's learning rate",
    "stopbackward": "1: no gradient for this layer and all before it in training; more: up to that step",
    "dont_update": "training: the parameters do not change up to this step",
    "burnin_update": "training: the parameters do not change before this many times burn_in",
    "train_only_bn": "1: only batch norm's statistics change in training, in this layer and all before it",
    "onlyforward": "1: no gradient passes through this layer in training",
    "dontload": "1: .weights files that are loaded do not contain this layer",
    "dontloadscales": "1: they do not contain the scales and statistics of its batch norm",
}

OWN_MEANINGS: dict[str, dict[str, str]] = {
    "net": {
        "width": "pixels of the network input",
        "height": "pixels of the network input",
        "channels": "channels of the network input",
        "letter_box": "1: images keep their aspect ratio",
        "batch": "images per update",
        "subdivisions": "mini-batches per batch",
        "max_batches": "total number of updates",
        "momentum": "of SGD",
        "decay": "weight decay; with adam also of biases and scales",
        "learning_rate": "highest learning rate",
        "learning_rate_min": "lowest rate of sgdr",
        "policy": "learning rate schedule",
        "burn_in": "updates of the warmup",
        "power": "of burn_in and of poly",
        "step": "updates between changes (step), middle (sigmoid)",
        "scale": "factor of each change (step)",
        "steps": "updates at which the rate changes (steps)",
        "scales": "factors of these changes",
        "gamma": "base (exp), slope (sigmoid)",
        "sgdr_cycle": "updates of the first cycle; 0: max_batches",
        "sgdr_mult": "factor of the length of each next cycle",
        "hue": "training: largest change of hue, in turns",
        "saturation": "training: largest factor of saturation",
        "exposure": "training: largest factor of exposure",
        "flip": "1: mirror half of the training images",
        "resize_step": "training: random input sizes are multiples of this",
        "mosaic": "1: combine four training images into one",
        "mosaic_bound": "1: clip boxes in a mosaic at the border of their image",
        "mixup": "1: blend half of the training images in pairs",
        "cutmix": "classifiers: 1: paste a part of one training image into another",
        "blur": "1: blur the background of some training images; more: some whole images, by that many pixels",
        "gaussian_noise": "training: largest strength of noise, out of 255",
        "angle": "classifiers: largest rotation of training images, in degrees",
        "aspect": "classifiers: largest factor of the aspect ratio of training images",
        "max_crop": "classifiers: largest smaller side of a training image, in pixels",
        "min_crop": "classifiers: smallest smaller side of a training image, in pixels",
        "label_smooth_eps": "classifiers: label smoothing in training",
        "adam": "1: Adam in place of SGD",
        "B1": "Adam's decay rate of the first moment",
        "B2": "Adam's decay rate of the second moment",
        "eps": "Adam's epsilon",
        "ema_alpha": "weight of the old value in the EMA of the weights; 0: no EMA",
        "max_chart_loss": "upper end of the loss axis of chart.png",
    },
    "convolutional": {
        "filters": FILTERS,
        "size": "side of the kernel",
        **STRIDES,
        "pad": "1: size / 2 zeros on each side, and `padding` is ignored",
        "padding": "zeros on each side",
        "dilation": "distance of the kernel's taps in pixels; padding is multiplied by it; ignored if size is 1",
        "groups": "groups of channels, as in nn.Conv2d; AlexeyAB: 1 if xnor is 1",
        "batch_normalize": "1: batch norm (epsilon 1e-5, momentum .01) and no bias",
        "activation": ACTIVATION,
        "antialiasing": BLUR,
        "share_index": "layer whose weights and batch norm are used; this layer stores nothing; -1: the previous layer",
        "cbn": "1: as batch_normalize; training does not accumulate statistics over iterations",
        "binary": "1: weights are replaced by their signs times the filter's mean absolute weight",
        "xnor": "1: inputs are replaced by their signs too",
        "bin_output": "read if xnor is 1 (the next such layer uses signs anyway), otherwise it must be 0",
    },
    "connected": {
        "output": "number of outputs",
        "activation": ACTIVATION,
        "batch_normalize": "1: batch norm and no bias",
    },
    "local": {
        "filters": FILTERS,
        "size": "side of the kernel",
        "stride": STRIDES["stride"],
        "pad": "zeros on each side",
        "activation": ACTIVATION,
    },
    "maxpool": {
        **WINDOW,
        "maxpool_depth": "1: maximum of every out_channels-th channel of a pixel instead",
        "out_channels": "output channels, with maxpool_depth",
        "antialiasing": BLUR,
    },
    "local_avgpool": WINDOW,
    "avgpool": {},
    "shortcut": {
        "from": "indices of the other layers; negative: counted back from here",
        "activation": ACTIVATION,
        "weights_type": "learned factors: one per layer (per_feature, per_layer) or one per channel (per_channel)",
        "weights_normalization": "factors from weights: none, relu / sum (relu, avg_relu), softmax",
        "alpha": "factor of the previous layer (pjreddie)",
        "beta": "factor of the other layers (pjreddie)",
    },
    "route": {
        "layers": "indices; negative: counted back from here",
        "groups": "number of groups of each layer's channels",
        "group_id": "index of the group that is used",
    },
    "upsample": {
        "stride": "copies of a pixel in both directions; negative: side of the blocks that are summed",
        "scale": "factor of the result",
    },
    "reorg": {"stride": "side of the block", "reverse": "1: depth to space"},
    "reorg3d": {"stride": "side of the block"},
    "scale_channels": {
        "from": FROM,
        "scale_wh": "1: one factor per pixel instead of one per channel",
        "activation": ACTIVATION,
    },
    "sam": {"from": FROM, "activation": ACTIVATION},
    "activation": {"activation": ACTIVATION},
    "logistic": {},
    "crop": {
        "crop_height": "of the output",
        "crop_width": "of the output",
        "flip": "1: mirror half of the training batches",
        "noadjust": "0: values become 2 x - 1",
        **dict.fromkeys(("angle", "saturation", "exposure", "shift"), NO_EFFECT),
    },
    "batchnorm": {},
    "lrn": {
        "size": "number of channels in the window",
        "alpha": "factor of the sum of their squares",
        "beta": "exponent",
        "kappa": "constant that is added to that sum",
    },
    "dropout": {
        "probability": "of a zero; pjreddie's default is .5",
        "dropblock": "1: squares instead of single values",
        "dropblock_size_rel": "side of the square as a fraction of the map",
        "dropblock_size_abs": "side of the square in pixels; has priority over the fraction; without both: 7",
    },
    "softmax": {
        "groups": "number of equal parts; each adds up to 1",
        "temperature": "divisor of the values",
        "spatial": "1: over the channels of each pixel",
        "tree": "file of a class hierarchy: each group of siblings adds up to 1",
        "noloss": NO_EFFECT,
    },
    "cost": dict.fromkeys(("type", "scale", "ratio", "noobj", "thresh"), NO_EFFECT),
    "empty": {},
    "yolo": {
        **YOLO,
        "new_coords": "1: the previous layer is logistic; w and h are (2 t)² times the anchor",
    },
    "Gaussian_yolo": {
        **YOLO,
        "yolo_point": "the point of the box that x and y give",
        "uc_normalizer": "training: weight of the loss of the uncertainties",
    },
    "region": {
        **REGION_AND_DETECTION,
        "softmax": "1: class probabilities add up to 1; 0: each is logistic",
        "anchors": "width, height of each, in cells",
        "background": "1: the map has a background class instead of an objectness (pjreddie)",
        "tree": "file of a class hierarchy: probabilities are products along its paths; a box gets one class",
        "map": "training: file with the tree's class of each label",
        "bias_match": "1: ground truths choose anchors by size alone in training",
        "thresh": "training: no objectness loss for negatives above this IoU with a ground truth",
        "classfix": "training: which classes are trained; -1 has no effect on detection here",
        "focal_loss": "1: focal class loss in training",
        **dict.fromkeys(("mask_scale", "log", "sqrt", "absolute"), NO_EFFECT),
    },
    "detection": {
        **REGION_AND_DETECTION,
        "side": "cells along each side",
        "softmax": "1: class probabilities of a cell add up to 1",
        "sqrt": "1: the map holds the square roots of width and height",
        "forced": "1: a ground truth always chooses the same box in training",
        "reorg": NO_EFFECT,
    },
}

MEANINGS: dict[str, dict[str, str]] = {
    kind: words if kind == "net" else {**words, **EVERY_LAYER} for kind, words in OWN_MEANINGS.items()
}

# Keys that Darknet reads and this project does not: a warning names their lines.
UNREAD: dict[str, dict[str, str]] = {
    "net": {
        "time_steps, track, augment_speed, sequential_subdivisions": "videos and recurrent networks",
        "max_epochs": "not read by Darknet either",
        "loss_scale, dynamic_minibatch, optimized_memory, workspace_size_limit_MB, "
        "use_cuda_graph": "Darknet's GPU code",
        "try_fix_nan, weights_reject_freq, equidistant_point, badlabels_rejection_percentage, "
        "num_sigmas_reject_badlabels": "handling of NaN and outliers in training",
        "contrastive, unsupervised, attention, adversarial_lr": "other kinds of training",
        "show_receptive_field": "what Darknet prints",
        "notruth, max_ratio, min_ratio, center, clip": "pjreddie's classifiers",
    },
    "every layer": {
        "numload, dontsave": "parts of .weights files",
        "clip, smooth, truth": "training",
    },
    "convolutional": {
        "assisted_excitation, grad_centr, angle": "training",
        "stream, wait_stream": "Darknet's GPU code",
    },
    "yolo": {
        "show_details": "what Darknet prints",
        "track_history_size, sim_thresh, dets_for_track, dets_for_show, track_ciou_norm, "
        "embedding_layer": "tracking in videos",
        "map": "not used by Darknet's detection",
    },
}

# The function of each value of `activation`, of a value x. c is the values of all channels of a pixel. The texts are
# Python expressions, so that a test can compare them with the layers.
ACTIVATION_FORMULAS: dict[str, str] = {
    "linear": "x",
    "logistic": "1 / (1 + exp(-x))",
    "loggy": "2 / (1 + exp(-x)) - 1",
    "relu": "max(x, 0)",
    "relu6": "min(max(x, 0), 6)",
    "relie": "x if x > 0 else 0.01 * x",
    "ramp": "max(x, 0) + 0.1 * x",
    "leaky": "x if x > 0 else 0.1 * x",
    "revleaky": "x if x > 0 else 0.1 * x",
    "elu": "x if x > 0 else exp(x) - 1",
    "selu": "1.0507 * (x if x > 0 else 1.6733 * (exp(x) - 1))",
    "gelu": "x / 2 * (1 + tanh(0.79788 * (x + 0.044715 * x**3)))",
    "swish": "x / (1 + exp(-x))",
    "silu": "x / (1 + exp(-x))",
    "mish": "x * tanh(log(1 + exp(x)))",
    "hard_mish": "x if x > 0 else x * x / 2 + x if x > -2 else 0",
    "tanh": "tanh(x)",
    "hardtan": "min(max(x, -1), 1)",
    "lhtan": "0.001 * x if x < 0 else 0.001 * (x - 1) + 1 if x > 1 else x",
    "plse": "0.125 * x + 0.5 if abs(x) <= 4 else 0.01 * (x + 4) if x < 0 else 0.01 * (x - 4) + 1",
    "stair": "floor(x / 2) if floor(x) % 2 == 0 else x - floor(x) + floor(x / 2)",
    "normalize_channels": "max(x, 0) / (sum(max(v, 0) for v in c) + 0.0001)",
    "normalize_channels_softmax": "exp(x) / (sum(exp(v) for v in c) + 0.0001)",
    "normalize_channels_softmax_maxval": "exp(x - max(c)) / (sum(exp(v - max(c)) for v in c) + 0.0001)",
}

# Keys that count only if another key of the section has one of these values; "!0" is any number but 0. Of several rows
# of a key, one is enough.
NEEDS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("net", "step"): {"policy": ("step", "sigmoid")},
    ("net", "scale"): {"policy": ("step",)},
    ("net", "steps"): {"policy": ("steps",)},
    ("net", "scales"): {"policy": ("steps",)},
    ("net", "gamma"): {"policy": ("exp", "sigmoid")},
    ("net", "power"): {"policy": ("poly", "random"), "burn_in": ("!0",)},
    ("net", "learning_rate_min"): {"policy": ("sgdr",)},
    ("net", "sgdr_cycle"): {"policy": ("sgdr",)},
    ("net", "sgdr_mult"): {"policy": ("sgdr",)},
    ("net", "momentum"): {"adam": ("0",)},
    ("net", "B1"): {"adam": ("!0",)},
    ("net", "B2"): {"adam": ("!0",)},
    ("net", "eps"): {"adam": ("!0",)},
    ("net", "mosaic_bound"): {"mosaic": ("!0",)},
    ("convolutional", "padding"): {"pad": ("0",)},
    ("shortcut", "weights_normalization"): {"weights_type": ("per_feature", "per_layer", "per_channel")},
    ("maxpool", "out_channels"): {"maxpool_depth": ("!0",)},
    ("dropout", "dropblock_size_rel"): {"dropblock": ("!0",)},
    ("dropout", "dropblock_size_abs"): {"dropblock": ("!0",)},
    ("yolo", "beta_nms"): {"nms_kind": ("diounms",)},
    ("Gaussian_yolo", "beta_nms"): {"nms_kind": ("diounms",)},
}
