"""yolo.train.setup.step_kind: the kind of a step is chosen once, without side effects, and is kept by a checkpoint."""

import sys
from pathlib import Path

import pytest
import torch

from tests.helpers.tiny_data import cfg_text, network_of
from tests.helpers.training_options import changed, finish, tiny_options
from yolo.train.setup import step_kind
from yolo.train.setup.options import Machine
from yolo.train.setup.run import start
from yolo.train.setup.step_kind import StepKind, choose_step, fastest_step, has_bfloat16, measure_steps
from yolo.train.trainer import train

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

CPU = torch.device("cpu")
OPEN = Machine(amp=None, memory_format=None)
LAST, PLAIN = StepKind(False, "channels_last"), StepKind(False, "contiguous")
LAST_16, PLAIN_16 = StepKind(True, "channels_last"), StepKind(True, "contiguous")


def long_network(steps=50):
    return network_of(cfg_text().replace("max_batches=6", f"max_batches={steps}"))


@pytest.fixture
def times(monkeypatch):
    """times(0.5, 0.7, …) → the list of kinds that are measured; they take so long, on a CPU with bfloat16."""

    def set_times(*seconds):
        asked = []

        def measure(network, kinds, images):
            asked.append(list(kinds))
            return dict(zip(kinds, seconds, strict=False))

        monkeypatch.setattr(step_kind, "measure_steps", measure)
        monkeypatch.setattr(step_kind, "has_bfloat16", lambda: True)
        return asked

    return set_times


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((0.58, 0.70, 0.28, 0.37), LAST_16),  # yolov3-tiny at 320: issue 12's table
        ((1.0, 1.0, 1.0, 1.0), LAST),
        ((1.0, 0.96, 2.0, 2.0), LAST),
        ((1.0, 0.94, 2.0, 2.0), PLAIN),
        ((1.0, 2.0, 0.86, 2.0), LAST),
        ((1.0, 2.0, 0.84, 0.83), LAST_16),  # contiguous would gain less than chance
        ((1.0, 2.0, 0.84, 0.70), PLAIN_16),
    ],
)
def test_another_kind_must_be_faster_by_more_than_chance(seconds, expected):
    assert fastest_step(dict(zip((LAST, PLAIN, LAST_16, PLAIN_16), seconds, strict=True))) == expected


def test_what_the_options_leave_open_is_measured(times, caplog):
    caplog.set_level("INFO")
    asked = times(0.58, 0.70, 0.28, 0.37)
    assert choose_step(long_network(), OPEN, CPU, 4, None) == LAST_16
    assert asked == [[LAST, PLAIN, LAST_16, PLAIN_16]]
    assert (
        "a step computes in 16 bits, channels_last: measured with 4 images, 16 bits, channels_last 280 ms, "
        "16 bits, contiguous 370 ms, float32, channels_last 580 ms, float32, contiguous 700 ms" in caplog.text
    )
    asked = times(0.58, 0.28)
    assert choose_step(long_network(), Machine(amp=False, memory_format=None), CPU, 4, None) == PLAIN
    assert choose_step(long_network(), Machine(amp=None, memory_format="contiguous"), CPU, 4, None) == PLAIN_16
    assert asked == [[LAST, PLAIN], [PLAIN, PLAIN_16]]


def test_nothing_is_measured_without_need(times, monkeypatch):
    asked = times(9.0, 1.0, 1.0, 1.0)
    network = long_network()
    assert choose_step(network, Machine(amp=True, memory_format="contiguous"), CPU, 4, None) == PLAIN_16
    assert choose_step(network, OPEN, torch.device("cuda"), 4, None) == LAST
    assert choose_step(network, OPEN, CPU, 4, None, processes=2) == LAST  # they could choose differently
    assert choose_step(long_network(49), OPEN, CPU, 4, None) == LAST
    monkeypatch.setattr(step_kind, "has_bfloat16", lambda: False)
    assert choose_step(network, Machine(amp=None), CPU, 4, None) == LAST
    assert asked == []


@pytest.mark.parametrize(
    ("recorded", "machine", "expected"),
    [
        ({"amp": 1, "memory_format": "contiguous"}, OPEN, PLAIN_16),
        ({"amp": 1}, OPEN, LAST_16),  # a checkpoint of an earlier version
        ({"amp": 1, "memory_format": "contiguous"}, Machine(amp=False, memory_format=None), PLAIN),
    ],
)
def test_a_resumed_run_computes_with_the_settings_of_its_checkpoint(times, recorded, machine, expected):
    asked = times(9.0, 1.0, 1.0, 1.0)
    assert choose_step(long_network(), machine, CPU, 4, recorded) == expected
    assert asked == []


def test_a_measurement_disturbs_neither_the_network_nor_random_numbers():
    network = network_of(cfg_text()).eval()  # with dropout and batch norms
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    seconds = measure_steps(network, [LAST, PLAIN, LAST_16], images=2)
    assert list(seconds) == [LAST, PLAIN, LAST_16]
    assert all(0 < value < 60 for value in seconds.values())
    assert torch.equal(torch.get_rng_state(), random)
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 amx_tile\n", True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", False),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("nonsense", False),
    ],
)
def test_bfloat16_instructions_are_read_from_cpuinfo(tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    assert has_bfloat16(tmp_path / "cpuinfo") == expected
    assert not has_bfloat16(Path("nothing here"))


# ------------------------------------------------------------------------------------------------------- a whole run


@pytest.fixture
def options(four, tmp_path):
    """A run of six steps of four images."""
    return tiny_options(four, tmp_path, seed=5)


def weights(run):
    return torch.cat([value.detach().flatten() for value in run.network.parameters()])


def test_both_memory_formats_learn_the_same(options, tmp_path):
    """float32 adds up in another order: a few units of the last place, which six steps carry on.

    Without dropout, which draws its numbers in the order of the memory.
    """
    options.cfg.write_text(cfg_text(dropout=False))
    last = finish(options)
    plain = finish(changed(options, memory_format="contiguous", out=tmp_path / "plain"))
    convolution = plain.network.layers[2].conv.weight
    assert convolution.is_contiguous() and not last.network.layers[2].conv.weight.is_contiguous()
    assert torch.allclose(weights(plain), weights(last), rtol=0, atol=1e-5 * float(weights(last).abs().max()))
    assert list(plain.logger.losses) == pytest.approx(list(last.logger.losses), rel=1e-5)


def test_a_measured_run_resumes_bit_equal(options, times, monkeypatch, tmp_path):
    monkeypatch.setattr(step_kind, "LEAST_STEPS", 6)
    times(9.0, 9.0, 9.0, 1.0)  # bfloat16, contiguous
    options = changed(options, amp=None, memory_format=None)
    whole = finish(options)
    assert whole.precision.name == "bfloat16"
    part = changed(options, out=tmp_path / "part")
    run = start(part)
    run.last_step = 3
    train(run)
    run.logger.close()
    asked = times(1.0, 9.0, 9.0, 9.0)  # now it would choose float32
    rest = finish(changed(part, resume=tmp_path / "part" / "tiny_last.pt"))
    assert asked == []
    assert (rest.precision.name, rest.memory_format) == ("bfloat16", torch.contiguous_format)
    assert torch.equal(weights(rest), weights(whole))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (None, None)),
        (["--amp"], (True, None)),
        (["--amp", "off", "--memory-format", "contiguous"], (False, "contiguous")),
        (["--amp", "on", "--memory-format", "channels_last"], (True, "channels_last")),
        (["--amp", "auto", "--memory-format", "auto"], (None, None)),
    ],
)
def test_the_options_of_the_command(load_tool, monkeypatch, arguments, expected):
    monkeypatch.setattr(
        sys, "argv", ["train", "--cfg", "yolov3-tiny", "--data", "x.data", "--device", "cpu", *arguments]
    )
    machine = load_tool("train")._options().machine
    assert (machine.amp, machine.memory_format) == expected
