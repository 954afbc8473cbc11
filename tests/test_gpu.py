"""What a GPU computes is what the CPU computes: forward pass, loss, training, detections, CUDA graphs.

`make gpu` runs this file on a machine with a GPU. YOLO_GPU_TESTS_ON=cpu runs it on any machine, to try the tests.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.golden import make_weights, read_json
from tests.helpers.tiny_data import cfg_text, network_of
from tests.helpers.training_options import changed, tiny_options
from yolo.detect.detector import Detector
from yolo.detect.nms import nms
from yolo.detect.postprocess import on_cpu, postprocess
from yolo.engines.cuda import CudaGraphs, FoldedForward, gpu_forward
from yolo.model.network import Network
from yolo.model.weights import load_weights
from yolo.records import Predictions, Targets
from yolo.train.amp import precision_in
from yolo.train.log.copied import copied_losses
from yolo.train.losses.detection import DetectionLoss
from yolo.train.setup.run import start
from yolo.train.trainer import train

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]  # a GPU's software has warnings of its own

DEVICE = torch.device(os.environ.get("YOLO_GPU_TESTS_ON", "cuda"))
CFGS = Path(__file__).resolve().parent.parent / "cfg"
SHIPPED = ("yolov2", "yolov3-tiny", "yolov3", "yolov3-spp", "yolov4-tiny", "yolov4", "yolov4-csp", "yolov7-tiny")
GOLDEN = ("Gaussian_yolov3_BDD", "csresnext50-panet-spp", "enet-coco", "yolov3-tiny-prn", "yolov4x-mish")
# Of the largest value of a map. float32 adds up in another order on a GPU; 16 bits round each map of a deep network.
FLOAT32, FLOAT16, BFLOAT16 = 1e-4, 2e-2, 1e-1


@pytest.fixture(autouse=True)
def exact():
    """Products of float32 with all their bits (no TF32), and always the same algorithms."""
    cudnn, cublas = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, cublas.allow_tf32, cudnn.deterministic, cudnn.benchmark
    cudnn.allow_tf32 = cublas.allow_tf32 = cudnn.benchmark = False
    cudnn.deterministic = True
    yield
    cudnn.allow_tf32, cublas.allow_tf32, cudnn.deterministic, cudnn.benchmark = before


def lively(cfg: str, size: int = 64) -> Network:
    """A shipped network with statistics of batch norms that are not 0 and 1, in evaluation mode."""
    network = Network.from_cfg(CFGS / f"{cfg}.cfg", size=(size, size)).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
    return network


def difference(found, expected) -> float:
    """The largest difference of two tensors, as a part of the largest value."""
    found, expected = found.detach().float().cpu(), expected.detach().float().cpu()
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max())


def differences(found, expected) -> float:
    return max(difference(a, b) for a, b in zip(found, expected, strict=True))


# --------------------------------------------------------------------------------------------------------- inference


@pytest.mark.parametrize("cfg", SHIPPED)
def test_raw_maps_and_predictions_are_the_cpus(cfg):
    network, images = lively(cfg), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
        predictions = network.decode(expected)
        network.to(DEVICE)
        raw = network(images.to(DEVICE))
        assert differences(raw, expected) <= FLOAT32
        assert differences(network.decode(raw), predictions) <= FLOAT32


@pytest.mark.parametrize("name", GOLDEN)
def test_raw_maps_of_golden_networks_are_those_of_compiled_darknet(shared, name, tmp_path):
    home = shared / "darknet_golden/forward" / name
    case, expected = read_json(home / "case.json"), np.load(home / "expected.npz")
    generator = make_weights(shared)
    generator.write_weights(case, tmp_path / "case.weights")
    network = Network.from_cfg(home / case["cfg"])
    load_weights(network, tmp_path / "case.weights")
    network.eval().to(DEVICE)
    with torch.no_grad():
        raw = network(torch.from_numpy(generator.network_input(case)).to(DEVICE))
    for index, map_ in zip(case["heads"], raw, strict=True):
        assert difference(map_.flatten(), torch.from_numpy(expected[f"logits_{index}"]).flatten()) <= FLOAT32


@pytest.mark.parametrize("cfg", ["yolov3-tiny", "yolov4-csp"])
def test_channels_last_gives_the_same_maps(cfg):
    network, images = lively(cfg).to(DEVICE), torch.rand(2, 3, 64, 64, device=DEVICE)
    with torch.no_grad():
        expected = network(images)
        network.to(memory_format=torch.channels_last)
        raw = network(images.contiguous(memory_format=torch.channels_last))
    assert all(map_.is_contiguous(memory_format=torch.channels_last) for map_ in raw)
    assert differences(raw, expected) <= FLOAT32


def test_other_input_sizes_are_the_cpus():
    network = lively("yolov4-tiny")
    for shape in ((1, 3, 96, 64), (3, 3, 128, 160)):
        images = torch.rand(shape)
        with torch.no_grad():
            expected = network.cpu()(images)
            assert differences(network.to(DEVICE)(images.to(DEVICE)), expected) <= FLOAT32


@pytest.mark.parametrize("dtype, bound", [("float32", FLOAT32), ("float16", FLOAT16), ("bfloat16", BFLOAT16)])
@pytest.mark.parametrize("cfg", ["yolov3", "yolov4", "yolov7-tiny"])
def test_folded_maps_in_cuda_graphs_are_those_of_the_network(cfg, dtype, bound):
    network = lively(cfg).to(DEVICE)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    forward = gpu_forward(network, getattr(torch, dtype))
    for shape in ((2, 3, 64, 64), (1, 3, 96, 64), (2, 3, 64, 64)):  # the last is a replay
        images = torch.rand(shape, device=DEVICE)
        with torch.no_grad():
            assert differences(forward(images), network(images)) <= bound
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.skipif(DEVICE.type == "cpu", reason="CUDA graphs need a GPU")
def test_cuda_graphs_are_the_eager_pass_and_only_the_last_shapes_are_kept():
    eager = FoldedForward(lively("yolov3-tiny").to(DEVICE), torch.float16)
    graphs = CudaGraphs(eager, most=2)
    for batch in (1, 2, 3, 1, 3):
        images = torch.rand(batch, 3, 64, 64, device=DEVICE)
        found = [map_.clone() for map_ in graphs(images)]
        assert differences(found, eager(images)) <= 1e-3  # the measured algorithms may add up in another order
    assert [shape[0] for shape in graphs._graphs] == [1, 3]


@pytest.mark.parametrize("dtype, bound", [("float32", FLOAT32), ("float16", FLOAT16)])
def test_compiled_maps_are_those_of_the_network(dtype, bound):
    if DEVICE.type == "cpu" and dtype == "float16":
        pytest.skip("slow on a CPU")
    network, images = lively("yolov3-tiny").to(DEVICE), torch.rand(2, 3, 64, 64, device=DEVICE)
    torch._dynamo.reset()
    forward = gpu_forward(network, getattr(torch, dtype), compiled=True)
    with torch.no_grad():
        assert differences(forward(images), network(images)) <= bound


@pytest.mark.parametrize("score_thresh", [0.0, 0.3, 2.0])
def test_predictions_that_come_from_a_gpu_give_the_detections_of_all(score_thresh):
    predictions = Predictions(torch.rand(3, 500, 4), torch.rand(3, 500), torch.rand(3, 500, 5) ** 4)
    predictions.objectness[1] = 0.0  # an image without detections, except where the threshold is below 0
    likely = list(on_cpu(Predictions(*(part.to(DEVICE) for part in predictions)), score_thresh))
    assert len(likely) == 3
    for some, everything in zip(likely, map(Predictions, *predictions), strict=True):
        found, expected = (
            postprocess(*each, score_thresh=score_thresh, nms_thresh=0.45) for each in (some, everything)
        )
        for name in ("boxes", "scores", "labels"):
            assert torch.equal(getattr(found, name), getattr(expected, name))
    if score_thresh == 0.3 and DEVICE.type != "cpu":
        assert 0 < sum(len(each.objectness) for each in likely) < 1500


@pytest.mark.parametrize("exponent", [None, 0.6])
def test_nms_of_gpu_tensors_is_that_of_cpu_tensors(exponent):
    corners = torch.rand(400, 2)
    boxes = torch.cat((corners, corners + torch.rand(400, 2) / 4), dim=1)
    scores, labels = torch.rand(400), torch.randint(3, (400,))
    expected = nms(boxes, scores, labels, 0.4, exponent)
    found = nms(boxes.to(DEVICE), scores.to(DEVICE), labels.to(DEVICE), 0.4, exponent)
    assert found.device.type == DEVICE.type
    assert torch.equal(found.cpu(), expected)
    assert len(expected) < 400


def test_a_detector_on_a_gpu_finds_what_it_finds_on_the_cpu():
    images = list(np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), np.uint8))
    network = lively("yolov3-tiny")
    names = [str(number) for number in range(80)]
    expected = Detector(network, names, score_thresh=0.2)(images)
    found = Detector(network.to(DEVICE), names, score_thresh=0.2)(images)
    assert sum(map(len, expected)) > 100
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.boxes.device.type == "cpu"
        rows = [
            torch.cat((each.boxes, 100 * each.scores[:, None], 1000 * each.labels[:, None]), 1)
            for each in (theirs, ours)
        ]
        nearest = torch.cdist(*rows, compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1)
        # a score at the threshold, or an overlap at that of NMS, may fall to the other side
        missing = int((nearest > 1e-3 * theirs.boxes.abs().max()).sum())
        assert max(missing, abs(len(ours) - len(theirs))) <= 0.005 * len(theirs)


# ---------------------------------------------------------------------------------------------------------- training


def targets_of_four() -> Targets:
    boxes = torch.tensor([[0.3, 0.4, 0.2, 0.3], [0.7, 0.6, 0.5, 0.4], [0.5, 0.5, 0.9, 0.8], [0.3, 0.4, 0.21, 0.3]])
    return Targets(torch.tensor([0, 0, 2, 3]), torch.tensor([1, 5, 0, 79]), boxes)


@pytest.mark.parametrize("cfg", ["yolov3-tiny", "yolov4-tiny", "yolov3", "yolov7-tiny"])
def test_loss_and_gradients_are_the_cpus(cfg):
    # float64: in float32, another order of adding turns a leaky or a maxpool at a tie, and gradients with it
    network, heads, targets = lively(cfg).double(), lively(cfg), targets_of_four()
    images = torch.rand(4, 3, 64, 64, dtype=torch.float64)
    results = []
    for device in (torch.device("cpu"), DEVICE):
        network.to(device).zero_grad()  # in evaluation mode: 2x2 maps of 4 images make a batch norm unstable
        raw = [raw_map.float() for raw_map in network(images.to(device))]
        losses = DetectionLoss(heads.to(device))(raw, targets.to(device))
        losses.total.backward()
        gradients = {name: p.grad.cpu().clone() for name, p in network.named_parameters()}
        results.append((losses.scalars(), gradients))
    (expected, wanted), (found, gradients) = results
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-4), name
    for name, gradient in wanted.items():
        assert difference(gradients[name], gradient) <= 1e-3, name


@pytest.fixture
def options(four, tmp_path):
    """A run of six steps of four images on the GPU."""
    return tiny_options(four, tmp_path, cfg_text(dropout=False), seed=5, device=str(DEVICE))


def finish(options, precision=None):
    """Start, train, close; the Run as it ended."""
    run = start(options)
    if precision is not None:
        run.precision = precision
    try:
        train(run)
    finally:
        run.logger.close()
    return run


def weights(run) -> torch.Tensor:
    return torch.cat([value.detach().flatten().cpu() for value in run.network.parameters()])


def losses(run) -> list[float]:
    return list(run.logger.losses)


def test_a_run_of_six_steps_is_the_cpus(options, tmp_path):
    run = finish(options)
    expected = finish(changed(options, device="cpu", out=tmp_path / "cpu"))
    assert losses(run) == pytest.approx(losses(expected), rel=1e-3)
    assert difference(weights(run), weights(expected)) <= 1e-3
    assert run.progress.best_map == pytest.approx(expected.progress.best_map, abs=0.05)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_steps_in_mixed_precision_follow_those_in_float32(options, tmp_path, dtype):
    if DEVICE.type == "cpu" and dtype == torch.float16:
        pytest.skip("float16 with a scaler is for GPUs")
    run = finish(options, precision_in(DEVICE.type, dtype))
    expected = finish(changed(options, out=tmp_path / "float32"))
    assert all(value.dtype == torch.float32 for value in run.network.parameters())
    assert losses(run) == pytest.approx(losses(expected), rel=0.05)
    assert losses(run) != losses(expected)


def test_a_resumed_run_is_bit_equal_and_so_is_its_ema(options, tmp_path):
    """cuDNN's deterministic algorithms; the network has no pooling whose windows overlap."""
    options = changed(options, ema=0.9)
    options.cfg.write_text(cfg_text())  # with dropout
    whole = finish(options)
    part = changed(options, out=tmp_path / "part")
    finish(changed(part, overrides=(("max_batches", "3"), ("steps", "4"))))
    rest = finish(changed(part, resume=tmp_path / "part" / "tiny_last.pt"))
    assert losses(rest) == losses(whole)
    assert torch.equal(weights(rest), weights(whole))
    ema_state, resumed = whole.ema.state_dict(), rest.ema.state_dict()
    assert ema_state.keys() == resumed.keys()
    assert all(torch.equal(resumed[name], value) for name, value in ema_state.items())
    assert any(value.device.type == DEVICE.type for value in ema_state.values())


def test_input_sizes_change_during_a_run(options):
    from yolo.train.multiscale import parse_stages

    run = finish(changed(options, sizes=parse_stages("64@0,96@3,128@5")))
    assert run.progress.step == 6
    assert all(np.isfinite(losses(run)))


def test_a_compiled_run_is_the_eager_one(options, tmp_path):
    torch._dynamo.reset()
    run = finish(changed(options, compiled=True))
    expected = finish(changed(options, out=tmp_path / "eager"))
    assert losses(run) == pytest.approx(losses(expected), rel=1e-3)
    assert difference(weights(run), weights(expected)) <= 1e-3


def test_a_gray_network_and_an_image_without_objects_train_on_a_gpu():
    network = network_of(cfg_text(channels=1)).to(DEVICE).train()
    none = Targets(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), torch.zeros(0, 4)).to(DEVICE)
    total = DetectionLoss(network)(network(torch.rand(2, 1, 48, 64, device=DEVICE)), none).total
    total.backward()
    assert torch.isfinite(total)
    assert any(float(p.grad.abs().sum()) > 0 for p in network.parameters())


@pytest.mark.skipif(DEVICE.type == "cpu", reason="nothing is copied from a CPU")
def test_scalars_come_from_the_gpu_as_numbers():
    network, targets = lively("yolov3-tiny").to(DEVICE), targets_of_four().to(DEVICE)
    losses = DetectionLoss(network)(network(torch.rand(4, 3, 64, 64, device=DEVICE)), targets)
    copied = copied_losses(losses)
    expected = {name: float(value) for name, value in losses.scalars().items()}
    assert copied.scalars() == expected
    assert list(copied.scalars()) and all(isinstance(value, float) for value in copied.scalars().values())
    assert copied.total.device.type == DEVICE.type
