"""Names and default values, used by both the options of commands and the package.

The parsers of the commands read this module, so it has no imports: `--help` has to be fast.
"""

DIALECT_NAMES = ("alexeyab", "pjreddie")  # the two Darknets, where their computations differ
IOU_LOSS_NAMES = ("mse", "iou", "giou", "diou", "ciou")  # iou_loss of a [yolo]
BOX_GRADIENTS = ("autograd", "darknet")
LOSS_PARTS = ("label", "total", "box", "objectness", "class")  # by which top_losses ranks; the first is the default
OTHER_POLICIES = ("one-cycle",)  # policies that Darknet does not have: command line only
PROGRESS_LOG, DARKNET_LOG = LOGS = ("progress", "darknet")
SCORE_THRESH = 0.25  # darknet detector test -thresh
NMS_THRESH = 0.45  # darknet detector test: float nms = .45
COUNTED_THRESH = 0.25  # darknet detector map -thresh: for precision, recall, F1 and average IoU
# Of image files, in lower case. Of two files that differ only in the ending, the earlier one is taken.
IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"),
    *(".jfif", ".jpe", ".ppm", ".pgm"),  # JPEG as browsers on Windows save it; the traffic signs of GTSDB and GTSRB
    *(".avif", ".jp2"),  # as browsers and phones save; aerial images
)
TOP_CLASSES = 5  # ImageNet results are given for the best 5 classes
AUTO = "auto"  # a value that the command finds itself: --out, --cutoff
MEMORY_FORMATS = ("channels_last", "contiguous")  # order of the values of images and weights; the first is the default
LAYOUT_NAMES = (
    "raw", "yolo", "opencv", "ultralytics", "frigate", "yolov5", "deepstream", "hank", "nms", "tensorrt",
)  # fmt: skip
DEFAULT_LAYOUT = "yolo"  # of a detector
CLASSIFIER_LAYOUT = "probs"  # of a classifier, and of no detector
OPSETS = range(12, 19)  # of ONNX, that an exported file may have
EMA_DECAY = 0.9998  # weight of the old value in the EMA, after the first updates
ENGINES = ("torch", "compile", "onnxruntime", "openvino", "opencv")  # what can compute a network
INT8 = "int8"
PRECISIONS = ("float32", "bf16", "fp16", INT8)
INT8_ENGINES = ("onnxruntime", "openvino")  # which compute in int8
DEFAULT_ENGINE, DEFAULT_PRECISION = "torch", "float32"

MOST_PIXELS = 2**28  # of an image; decoding takes 3 to 6 bytes a pixel, 1.6 GB at most
MAX_PIXELS_VARIABLE = "YOLO_MAX_PIXELS"  # of the environment: another limit; `--max-pixels` sets it
