"""The loss of AP in half precision, on 96 images of COCO with a trained network."""

import pytest

from yolo.data.check import check_list
from yolo.detect.detector import Detector
from yolo.engines.precision import ENGINE_PRECISIONS
from yolo.errors import CfgError
from yolo.evaluate.evaluator import detections_of, evaluation_of
from yolo.evaluate.metrics.coco import coco_score
from yolo.evaluate.metrics.darknet import MAP_NMS_THRESH, MAP_SCORE_THRESH
from yolo.model.network import Network
from yolo.model.weights import load_weights
from yolo.names_file import read_names

MODEL = "yolo-fastest-1.1"
MOST_LOST = {"bf16": 0.01, "fp16": 0.002}  # of COCO's AP, which is .16
PAIRS = [(engine, each) for engine in ("torch", "openvino") for each in ENGINE_PRECISIONS[engine] if each != "float32"]


@pytest.mark.slow
def test_half_precision_keeps_the_ap(shared, tmp_path):
    folder = shared / "models" / MODEL
    network = Network.from_cfg(folder / f"{MODEL}.cfg")
    load_weights(network, folder / f"{MODEL}.weights")
    names = read_names(next(folder.glob("*.names")))
    paths = sorted((shared / "datasets/coco96/images").glob("*.jpg"))
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in paths))
    images = check_list(tmp_path / "list.txt", network.classes, 3).images
    assert len(images) == 96

    def average_precision(engine, precision):
        options = {"engine": engine, "precision": precision}
        detector = Detector(network, names, MAP_SCORE_THRESH, MAP_NMS_THRESH, **options)
        found = detections_of(detector, images, batch=8, workers=0)
        return coco_score(evaluation_of(names, images, found)).ap

    expected = average_precision("torch", "float32")
    assert expected > 0.15
    for engine, precision in PAIRS:
        try:
            found = average_precision(engine, precision)
        except CfgError as error:  # only OpenVINO needs the instructions
            assert engine == "openvino" and "this CPU computes" in str(error)
            continue
        print(f"{engine} {precision}: AP {found:.4f}, float32 {expected:.4f}")
        assert abs(found - expected) <= MOST_LOST[precision], (engine, precision)
