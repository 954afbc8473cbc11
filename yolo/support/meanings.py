"""What every section and key of a cfg means: the words of the support table (what is read comes from the code)."""

KINDS: dict[str, str] = {
    "net": "What the network looks at and how it learns.",
    "convolutional": "A convolution, batch norm, an activation, a blur.",
    "connected": "Every output sees every input.",
    "local": "A convolution with weights of its own at every place.",
    "maxpool": "The largest value of each window; -inf around the map.",
    "local_avgpool": "The mean of each window, of the pixels inside the map.",
    "avgpool": "The mean of each channel.",
    "shortcut": "The layer before plus others.",
    "route": "Layers side by side along the channels, or a group of each.",
    "upsample": "Each pixel repeated, or blocks of pixels summed.",
    "reorg": "YOLOv2's permutation, which is no plain space to depth.",
    "reorg3d": "Space to depth.",
    "scale_channels": "Another layer times a factor a channel (squeeze and excitation).",
    "sam": "Another layer times this one, value by value (spatial attention).",
    "activation": "An activation alone.",
    "logistic": "The logistic function of every value: the end of a network for several labels an image.",
    "crop": "The middle of the image; in training a random part.",
    "batchnorm": "Batch norm alone.",
    "lrn": "Local response normalization over channels, with Darknet's own running sum.",
    "dropout": "Random zeros in training; nothing in evaluation.",
    "softmax": "Probabilities that add up to 1. Network(images) gives what enters it.",
    "cost": "What classifiers are trained with; hands its input on.",
    "empty": "Hands its input on.",
    "yolo": "Head of YOLOv3, v4, v7.",
    "Gaussian_yolo": "Head of Gaussian YOLOv3: as [yolo], with an uncertainty beside each of x, y, w, h.",
    "region": "Head of YOLOv2 and YOLO9000.",
    "detection": "Head of YOLOv1.",
}

FILTERS = "number of outputs' channels"

ACTIVATION = "see Activations"

STRIDES = {
    "stride": "pixels from one window to the next",
    "stride_x": "the same across; -1: stride",
    "stride_y": "the same downwards; -1: stride",
}

BLUR = "1: blurred by 3x3 and then strided; 2: by 2x2"

FROM = "index of the other layer; negative: back from here"

REFUSED = "must be 0: not supported"

READ_ONLY = "read; changes nothing here"

CONVOLUTION = {
    "filters": FILTERS,
    "size": "side of the kernel",
    **STRIDES,
    "pad": "1: size / 2 zeros on each side, whatever `padding` says",
    "padding": "zeros on each side",
    "dilation": "pixels between the kernel's taps; padding is multiplied by it; 1 where size is 1",
    "groups": "groups of channels that see only each other; AlexeyAB: 1 where xnor is 1",
    "batch_normalize": "1: batch norm (epsilon 1e-5, momentum .01) and no bias",
    "activation": ACTIVATION,
    "antialiasing": BLUR,
    "share_index": "the layer whose weights and batch norm are used; nothing is stored here; -1: the layer before",
    "cbn": "1: as batch_normalize; cross-iteration statistics are not kept in training",
    "binary": "1: weights count by sign, times their filter's mean size",
    "xnor": "1: the input too counts by sign",
    "bin_output": "read where xnor is 1 (the next such layer takes signs anyway), else must be 0",
}

BOX_LOSS = {
    "iou_loss": "box loss of training",
    "iou_normalizer": "weight of the box loss",
    "obj_normalizer": "weight of the objectness loss",
    "cls_normalizer": "weight of the class loss, with counters_per_class",
    "delta_normalizer": "weight of all losses of this head",
    "max_delta": "largest delta of an IoU loss",
}

AUGMENTATION = {
    "jitter": "training: largest cut of each side, as a share",
    "resize": "training: largest zoom",
    "random": "training: 1, or a factor: other input sizes every ten batches",
}

SUPPRESSION = {
    "nms_kind": "suppression in detection",
    "beta_nms": "exponent of diounms",
}

YOLO = {
    "classes": "number of classes",
    "num": "number of anchors of all heads",
    "mask": "which of them this head predicts",
    "anchors": "width, height of each, in pixels of the network input",
    "scale_x_y": "stretches x and y beyond their cell: s x - (s - 1) / 2",
    "max": "most boxes of an image in training",
    "ignore_thresh": "training: above this IoU with any ground truth, objectness is not pulled down",
    "truth_thresh": "training: above this IoU a prediction counts as positive",
    "iou_thresh": "training: below 1, other anchors above this overlap with a ground truth are positive too",
    "iou_thresh_kind": "the overlap that iou_thresh means",
    "label_smooth_eps": "training: smoothed class labels",
    "focal_loss": "training: focal class loss",
    "objectness_smooth": "training: objectness learns the overlap",
    "counters_per_class": "training: how often each class occurs, so that rare ones weigh more",
    **BOX_LOSS,
    **AUGMENTATION,
    **SUPPRESSION,
}

EARLY = {
    "classes": "number of classes",
    "coords": "numbers of a box; must be 4",
    "num": "boxes of a cell",
    "max": "most boxes of an image in training",
    "coord_scale": "training: weight of the box loss",
    "object_scale": "training: weight of the objectness of cells with an object",
    "noobject_scale": "training: weight of the objectness of the others",
    "class_scale": "training: weight of the class loss",
    "rescore": "training: objectness learns the overlap",
    **AUGMENTATION,
}


# Of the keys of every section but [net].
EVERY_LAYER = {
    "learning_rate": "training: factor of the network's learning rate",
    "stopbackward": "training: no gradient into this layer and those before it; 1: ever; more: up to that step",
    "dont_update": "training: parameters stay up to this step",
    "burnin_update": "training: parameters stay before this many times burn_in",
    "train_only_bn": "training: 1: of this layer and those before it, only batch norm's statistics move",
    "onlyforward": "training: 1: no gradient goes through this layer",
    "dontload": "1: .weights files that are loaded do not hold this layer",
    "dontloadscales": "1: nor the scales and statistics of its batch norm",
}

OWN_MEANINGS: dict[str, dict[str, str]] = {
    "net": {
        "width": "pixels of the network input",
        "height": "pixels of the network input",
        "channels": "of the network input",
        "letter_box": "images keep their aspect",
        "batch": "images an update",
        "subdivisions": "parts of a batch that go through one after the other",
        "max_batches": "updates in all",
        "momentum": "of SGD",
        "decay": "of weights; with adam also of biases and scales",
        "learning_rate": "of SGD",
        "learning_rate_min": "lowest rate of sgdr",
        "policy": "how the rate changes",
        "burn_in": "updates in which the rate rises",
        "power": "of burn_in and of poly",
        "step": "updates between changes (step), middle (sigmoid)",
        "scale": "factor of each change (step)",
        "steps": "updates after which it changes (steps)",
        "scales": "factors of these changes",
        "gamma": "base (exp), steepness (sigmoid)",
        "sgdr_cycle": "updates of the first cycle; 0: max_batches",
        "sgdr_mult": "each cycle is so much longer",
        "hue": "largest change of hue in training, in turns",
        "saturation": "largest factor of saturation",
        "exposure": "largest factor of exposure",
        "flip": "1: half of the training images are mirrored",
        "resize_step": "grid of the sizes that random draws",
        "mosaic": "1: training images are made of four",
        "mosaic_bound": "1: boxes in a mosaic are cut where their image ends",
        "mixup": "1: half of the training images lie over each other, two by two",
        "cutmix": "1, classifiers: a part of one image in another",
        "blur": "1: the background of some training images is blurred; more: of some the whole, by so many pixels",
        "gaussian_noise": "largest strength of noise, of 255",
        "angle": "classifiers: largest turn of a training image, in degrees",
        "aspect": "classifiers: largest factor of width to height",
        "max_crop": "classifiers: largest smaller side of a training image, in pixels",
        "min_crop": "classifiers: the smallest",
        "label_smooth_eps": "classifiers: share of the wanted probability given to all classes",
        "adam": "1: Adam in place of SGD",
        "B1": "of Adam, mean of the gradients",
        "B2": "of Adam, mean of their squares",
        "eps": "of Adam, keeps its root from 0",
        "ema_alpha": "share of the old value in the average of the weights; 0: no average",
        "max_chart_loss": "top of chart.png",
    },
    "convolutional": CONVOLUTION,
    "connected": {
        "output": "number of outputs",
        "activation": ACTIVATION,
        "batch_normalize": "1: batch norm over the batch",
    },
    "local": {
        "filters": FILTERS,
        "size": "side of the kernel",
        "stride": STRIDES["stride"],
        "pad": "zeros on each side of the map",
        "activation": ACTIVATION,
    },
    "maxpool": {
        **STRIDES,
        "size": "side of the window",
        "padding": "of both sides together, the odd one right and below",
        "maxpool_depth": "1: over every out_channels-th channel of a pixel instead",
        "out_channels": "with maxpool_depth",
        "antialiasing": BLUR,
    },
    "local_avgpool": {
        **STRIDES,
        "size": "side of the window",
        "padding": "of both sides together, the odd one right and below",
    },
    "avgpool": {},
    "shortcut": {
        "from": "indices of the other layers; negative: back from here",
        "activation": ACTIVATION,
        "weights_type": "learned factors: one a layer (per_feature, per_layer) or one a channel",
        "weights_normalization": "how weights become factors: as they are, shares of their positive parts, softmax",
        "alpha": "factor of the layer before (pjreddie)",
        "beta": "factor of the others (pjreddie)",
    },
    "route": {
        "layers": "indices; negative: back from here",
        "groups": "each layer is cut into so many",
        "group_id": "and this one is taken",
    },
    "upsample": {
        "stride": "copies of a pixel both ways; negative: blocks that are summed",
        "scale": "factor of the result",
    },
    "reorg": {"stride": "side of the block", "reverse": "1: depth to space"},
    "reorg3d": {"stride": "side of the block"},
    "scale_channels": {
        "from": FROM,
        "scale_wh": "1: a factor a pixel instead of one a channel",
        "activation": ACTIVATION,
    },
    "sam": {"from": FROM, "activation": ACTIVATION},
    "activation": {"activation": ACTIVATION},
    "logistic": {},
    "crop": {
        "crop_height": "of the output",
        "crop_width": "of the output",
        "flip": "1: half of the training images are mirrored",
        "noadjust": "0: values become 2 x - 1",
        "angle": READ_ONLY,
        "saturation": READ_ONLY,
        "exposure": READ_ONLY,
        "shift": READ_ONLY,
    },
    "batchnorm": {},
    "lrn": {
        "size": "channels that count",
        "alpha": "factor of their squares",
        "beta": "exponent",
        "kappa": "what is added to the squares",
    },
    "dropout": {
        "probability": "of a zero; pjreddie's default is .5",
        "dropblock": "1: whole blocks instead of single values",
        "dropblock_size_rel": "side of the block as a share of the map",
        "dropblock_size_abs": "side of the block in pixels; goes before the share; neither: 7",
    },
    "softmax": {
        "groups": "equal parts that add up to 1 each",
        "temperature": "divides the values first",
        "spatial": "1: over the channels of each pixel",
        "tree": "file of a class hierarchy: each family of siblings adds up to 1",
        "noloss": READ_ONLY,
    },
    "cost": {
        "type": READ_ONLY,
        "scale": READ_ONLY,
        "ratio": READ_ONLY,
        "noobj": READ_ONLY,
        "thresh": READ_ONLY,
    },
    "empty": {},
    "yolo": {
        **YOLO,
        "new_coords": "1: the layer before is logistic already, w and h are (2 t)² times the anchor",
    },
    "Gaussian_yolo": {
        **YOLO,
        "yolo_point": "which point of the box x and y mean",
        "uc_normalizer": "weight of the uncertainty's loss",
    },
    "region": {
        **EARLY,
        "softmax": "1: class probabilities add up to 1; 0: each is logistic",
        "anchors": "width, height of each, in cells",
        "background": "1: the map has a background instead of an objectness (pjreddie)",
        "tree": "file of a class hierarchy: probabilities are those along its paths; a box is named after one class",
        "map": "training: file of the tree's class of each label",
        "bias_match": "training: ground truths choose anchors by size alone",
        "thresh": "training: above this IoU with a ground truth, objectness is not pulled down",
        "classfix": "training: which classes learn; -1 has no effect on detection here",
        "focal_loss": "training: focal class loss",
        "mask_scale": "training: weight of the masks",
        "log": READ_ONLY,
        "sqrt": READ_ONLY,
        "absolute": READ_ONLY,
    },
    "detection": {
        **EARLY,
        "side": "cells along each side",
        "softmax": "1: class probabilities of a cell add up to 1",
        "sqrt": "1: the map holds the roots of width and height",
        "forced": "training: a ground truth always chooses the same box",
        "reorg": READ_ONLY,
    },
}

MEANINGS: dict[str, dict[str, str]] = {
    kind: words if kind == "net" else {**words, **EVERY_LAYER}
    for kind, words in OWN_MEANINGS.items()
}


# Keys that Darknet reads and nothing here does: reported with their lines, without effect.
UNREAD: dict[str, dict[str, str]] = {
    "net": {
        "time_steps, track, augment_speed, sequential_subdivisions": "videos and recurrent networks",
        "max_epochs": "read by no Darknet either",
        "loss_scale, dynamic_minibatch, optimized_memory, workspace_size_limit_MB, "
        "use_cuda_graph": "Darknet's GPU code",
        "try_fix_nan, weights_reject_freq, equidistant_point, badlabels_rejection_percentage, "
        "num_sigmas_reject_badlabels": "repairs of a running training",
        "contrastive, unsupervised, attention, adversarial_lr": "other kinds of training",
        "show_receptive_field": "what Darknet prints",
        "notruth, max_ratio, min_ratio, center, clip": "pjreddie's classifiers",
    },
    "every layer": {
        "numload, dontsave": "what of a .weights file is read and written",
        "clip, smooth, ground truth": "training",
    },
    "convolutional": {
        "assisted_excitation, grad_centr, angle": "training",
        "stream, wait_stream": "Darknet's GPU code",
    },
    "yolo": {
        "show_details": "what Darknet prints",
        "track_history_size, sim_thresh, dets_for_track, dets_for_show, track_ciou_norm, "
        "embedding_layer": "tracking in videos",
        "map": "unused by Darknet's detection",
    },
}
