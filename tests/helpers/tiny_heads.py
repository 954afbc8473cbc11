"""A tiny network for each kind of head, as cfg text: two images of 12 x 8 pixels fill their maps."""

NET = "[net]\nwidth=24\nheight=16\nchannels=3\n[convolutional]\nfilters=4\nsize=3\nstride=4\npad=1\nactivation=leaky\n"
CONV = "[convolutional]\nfilters={}\nsize=1\nactivation={}\n"
ANCHORS = "num=3\nanchors=3,4, 6,5, 9,12\n"
YOLO = "[yolo]\nclasses=2\nmask={}\n" + ANCHORS + "{}"

HEADS = {
    "yolo": NET + CONV.format(14, "linear") + YOLO.format("1,2", "scale_x_y=1.05\n"),
    "two_yolo": NET
    + CONV.format(14, "linear")
    + YOLO.format("1,2", "nms_kind=greedynms\nbeta_nms=0.6\n")
    + "[route]\nlayers=-3\n[upsample]\nstride=2\n"
    + CONV.format(7, "linear")
    + YOLO.format("0", ""),
    "new_coords": NET + CONV.format(14, "logistic") + YOLO.format("0,2", "scale_x_y=2.0\nnew_coords=1\n"),
    "gaussian": NET + CONV.format(22, "linear") + YOLO.format("0,1", "").replace("[yolo]", "[Gaussian_yolo]"),
    "region": NET
    + CONV.format(14, "linear")
    + "[region]\nclasses=2\ncoords=4\nnum=2\nanchors=1,2, 3,1.5\nsoftmax=1\nthresh=.3\n",
    "region_logistic": NET + CONV.format(14, "linear") + "[region]\nclasses=2\nnum=2\nanchors=1,2, 3,1.5\n",
    "detection": NET.replace("height=16", "height=24")
    + "[connected]\noutput=48\nactivation=linear\n[detection]\nclasses=2\ncoords=4\nside=2\nnum=2\nsqrt=1\n",
}
CLASSIFIERS = {
    "softmax": NET + CONV.format(5, "linear") + "[avgpool]\n[softmax]\n[cost]\n",
    "softmax_alone": NET + CONV.format(5, "linear") + "[avgpool]\n[softmax]\ntemperature=2\n",
}
TREE = "animal -1\nthing -1\ncat 0\ndog 0\n"  # four classes in two groups
TREE_HEAD = NET + CONV.format(9, "linear") + "[region]\nclasses=4\nnum=1\nanchors=2,3\nsoftmax=1\ntree={}\n"
