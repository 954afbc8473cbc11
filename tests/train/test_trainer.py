"""yolo.train.trainer: Darknet's update by hand, and that a stopped run continues exactly, from any step."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.tiny_data import cfg_text, network_of
from tests.helpers.training_options import changed, finish, same_tensors, tiny_options
from yolo.data.check import check_list
from yolo.errors import DatasetError, DivergedError
from yolo.model.weights import load_weights
from yolo.train.checkpoint import Progress, load_checkpoint
from yolo.train.losses.detection import DetectionLoss
from yolo.train.optimizer import make_optimizer
from yolo.train.setup.run import start
from yolo.train.trainer import save, train, train_mini_batch
from yolo.train.validation import Validation, is_due

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core


@pytest.fixture
def options(four, tmp_path):
    """A run of six steps of four images."""
    return tiny_options(four, tmp_path, seed=5)


def parameters(run):
    return {name: value.clone() for name, value in run.network.state_dict().items()}


def files(folder: Path):
    return sorted(path.name for path in folder.iterdir())


# --------------------------------------------------------------------------------------------------------- the update


def test_the_first_update_by_hand(options, tmp_path):
    """w - rate * (gradient + decay * w), the gradient that of the mean over the batch, the rate that of step 1."""
    options.cfg.write_text(cfg_text(norm=False, dropout=False))
    options = changed(options, overrides=(("max_batches", "1"), ("decay", "0.5")))
    again = start(options)
    (batch,) = list(again.batches)
    images = batch.images.float() / 255
    DetectionLoss(again.network)(again.network(images), batch.targets).total.backward()
    rate = 0.01 * (1 / 2) ** 4  # learning_rate * (step / burn_in)^power, at step 1
    expected = {
        name: value - rate * (value.grad + (0.5 * value if value.ndim == 4 else 0))
        for name, value in again.network.named_parameters()
    }
    again.logger.close()
    run = finish(options)
    assert [group["lr"] for group in run.optimizer.param_groups] == [rate, rate]
    for name, value in run.network.named_parameters():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("subdivisions", [2, 4])
def test_subdivisions_change_no_parameter_without_batch_norm(options, tmp_path, subdivisions):
    options.cfg.write_text(cfg_text(norm=False, dropout=False))
    whole = finish(options)
    parts = finish(changed(options, overrides=(("subdivisions", str(subdivisions)),), out=tmp_path / "parts"))
    assert parts.progress.seen == whole.progress.seen == 24
    moved = network_of(cfg_text(norm=False, dropout=False), seed=5)
    for name, value in whole.network.state_dict().items():
        assert not torch.allclose(value, moved.state_dict()[name], rtol=1e-3, atol=1e-4), name
        torch.testing.assert_close(parts.network.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_the_last_steps_have_the_schedules_rate(options):
    run = finish(options)
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(0.001)  # steps=4, scales=.1
    assert run.network.training


def test_scores_are_due_after_start_every_so_often_and_at_the_end():
    validation = Validation(None, every=10, start=25)
    assert [step for step in range(1, 58) if is_due(step, validation, 57)] == [30, 40, 50, 57]


# ------------------------------------------------------------------------------------------------------ what is kept


def test_last_and_best_are_kept_as_checkpoint_and_weights_and_all_load(options):
    run = finish(options)
    assert files(options.output.out) == [
        "chart.png", "scalars.csv", "scores.csv", "tensorboard",
        "tiny_best.pt", "tiny_best.weights", "tiny_last.pt", "tiny_last.weights",
    ]  # fmt: skip
    for which in ("best", "last"):
        network = network_of(cfg_text(), seed=9)
        header = load_weights(network, options.output.out / f"tiny_{which}.weights")
        assert header == (0, 2, 5, 24)  # AlexeyAB's version, 6 steps of 4 images
        other = network_of(cfg_text(), seed=8)
        optimizer = make_optimizer(other, other.training_settings)
        progress = load_checkpoint(options.output.out / f"tiny_{which}.pt", other, optimizer)
        assert progress == Progress(6, 24, 5, run.progress.best_map, run.progress.settings)
        assert (progress.settings["batch"], progress.settings["height"]) == (4, 48)
        trained = dict(run.network.named_parameters())
        for loaded in (network, other):
            assert all(torch.equal(value, trained[k]) for k, value in loaded.named_parameters())


def test_the_best_is_kept_when_later_scores_are_worse(options, monkeypatch):
    scores = iter([0.0, 0.25, 0.0, 0.75, 0.0, 0.5])  # by area, which decides nothing, and by VOC07
    monkeypatch.setattr("yolo.train.validation.mean_ap", lambda aps: next(scores))
    run = finish(changed(options, map_every=2))
    assert run.progress.best_map == 0.75
    network = network_of(cfg_text())
    assert load_weights(network, options.output.out / "tiny_best.weights").seen == 4 * 4
    assert load_weights(network, options.output.out / "tiny_last.weights").seen == 6 * 4


def test_curves_images_and_scores_are_in_tensorboard(options):
    finish(changed(options, map_every=3))
    events = EventAccumulator(str(options.output.out / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {
        "loss/total", "loss/box", "loss/objectness", "loss/classification",
        "train/iou", "train/learning_rate", "train/pictures_per_second",
        "map/voc07", "ap/red", "ap/green",
    } <= set(tags["scalars"])  # fmt: skip
    assert [event.step for event in events.Scalars("loss/total")] == [1, 2, 3, 4, 5, 6]
    assert events.Scalars("train/learning_rate")[0].value == pytest.approx(0.01 / 16)
    assert [event.step for event in events.Scalars("map/voc07")] == [3, 6]
    assert sorted(tags["images"]) == [f"valid/{index}" for index in range(4)]
    for part in ("box", "objectness", "classification"):
        assert all(np.isfinite(event.value) for event in events.Scalars(f"loss/{part}"))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_one_pixel_and_a_gray_network_train(options, channels):
    from tests.helpers.tiny_data import write_image

    data = Path(options.data)
    write_image(data.parent / "images" / "p0.png", np.zeros((1, 1, 3), np.uint8))
    options.cfg.write_text(cfg_text(channels=channels))
    assert finish(options).progress.step == 6


def test_a_batch_may_be_larger_than_the_list(options):
    assert finish(changed(options, overrides=(("batch", "11"),))).progress.seen == 66


# ----------------------------------------------------------------------------------------------------- what goes wrong


def test_a_loss_that_is_not_finite_stops_with_its_parts(options):
    run = start(options)
    with torch.no_grad():
        next(run.network.parameters()).fill_(torch.nan)
    with pytest.raises(DivergedError, match="^step 3: .*box .*objectness nan, classification") as error:
        train_mini_batch(run, next(iter(run.batches)), step=3, part=0)
    run.logger.close()
    assert "\n" not in str(error.value)


def test_a_run_that_diverges_leaves_the_last_good_files(options):
    good = finish(options)
    kept = {path.name: path.read_bytes() for path in options.output.out.glob("tiny_*")}
    assert len(kept) == 4
    with pytest.raises(DivergedError, match="found a loss that is not finite"):
        finish(
            changed(
                options,
                resume=options.output.out / "tiny_last.pt",
                overrides=(("max_batches", "50"), ("learning_rate", "1e30")),
            )
        )
    assert {path.name: path.read_bytes() for path in options.output.out.glob("tiny_*")} == kept
    assert good.progress.step == 6


def test_weights_that_are_not_finite_are_never_written(options):
    """One step with a rate beyond all numbers: its loss was finite, the network is not any more."""
    run = start(changed(options, overrides=(("max_batches", "1"), ("learning_rate", "1e38"))))
    run = replace(run, validation=None)
    with torch.no_grad():
        next(run.network.parameters()).fill_(torch.inf)
    with pytest.raises(DivergedError, match="found weights that are not finite"):
        save(run, "last")
    run.logger.close()
    assert files(options.output.out) == ["scalars.csv", "scores.csv", "tensorboard"]


def test_a_disk_that_fills_leaves_the_old_files_and_no_other(options, monkeypatch):
    finish(options)
    kept = {path.name: path.read_bytes() for path in options.output.out.glob("tiny_*")}

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        finish(changed(options, overrides=(("max_batches", "2"),)))
    assert {path.name: path.read_bytes() for path in options.output.out.glob("tiny_*")} == kept
    watched = ["chart.png", "scalars.csv", "scores.csv", "tensorboard"]
    assert files(options.output.out) == [*watched, *sorted(kept)]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_deleted_in_the_night_stops_in_one_line_with_the_steps_kept(options, workers):
    run = start(changed(options, workers=workers, overrides=(("max_batches", "100000"),)))
    image = check_list(Path(options.data).parent / "list.txt", 2, 3).images[1].path
    step = run.logger.step

    def delete_at_three(number, *rest):
        if number == 3:
            image.unlink()
        step(number, *rest)

    run.logger.step = delete_at_three
    with pytest.raises(DatasetError, match="No such file or directory: .*p1.png") as error:
        train(run)
    run.logger.close()
    assert "\n" not in str(error.value)
    network = network_of(cfg_text())
    seen = load_weights(network, options.output.out / "tiny_last.weights").seen
    assert seen == run.progress.seen >= 12  # workers are some steps ahead
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), run.network.parameters(), strict=True))


# --------------------------------------------------------------------------------------------- going on exactly


def test_the_seed_decides_everything(options, tmp_path):
    first = parameters(finish(options))
    assert same_tensors(first, parameters(finish(changed(options, out=tmp_path / "b"))))
    assert same_tensors(first, parameters(finish(changed(options, out=tmp_path / "c", workers=2))))
    assert not same_tensors(first, parameters(finish(changed(options, out=tmp_path / "d", seed=6))))


def test_scoring_on_the_way_changes_no_parameter(options, tmp_path):
    first = parameters(finish(options))
    assert same_tensors(first, parameters(finish(changed(options, out=tmp_path / "b", map_every=1))))


def stopped_at(options, step, monkeypatch, sent=signal.SIGINT):
    """A run with a Ctrl-C (or another signal) during that step, as its handler sees it."""
    run = start(options)
    step_of = run.logger.step

    def interrupting(number, *rest):
        step_of(number, *rest)
        if number == step:
            os.kill(os.getpid(), sent)

    run.logger.step = interrupting
    train(run)
    run.logger.close()
    assert run.interrupted and run.progress.step == step
    return run


@pytest.mark.parametrize(("random", "steps"), [(0, 40), (1, 130)])
def test_an_interrupted_run_goes_on_exactly(options, tmp_path, monkeypatch, random, steps):
    """Dropout, momentum, batch norm, order, augmentation and multi-scale sizes: all as if nothing had happened.

    With random=1 the first and the last 100 steps have the largest size.
    """
    text = cfg_text().replace("random=0", f"random={random}").replace("width=64", "resize_step=8\nwidth=64")
    options.cfg.write_text(text)
    options = changed(options, overrides=(("max_batches", str(steps)), ("batch", "2")))
    whole = finish(changed(options, out=tmp_path / "whole"))
    stopped_at(options, 21, monkeypatch)
    rest = finish(changed(options, resume=options.output.out / "tiny_last.pt", seed=99))
    assert rest.progress == whole.progress
    assert same_tensors(parameters(rest), parameters(whole))
    for a, b in zip(
        whole.optimizer.state_dict()["state"].values(),
        rest.optimizer.state_dict()["state"].values(),
        strict=True,
    ):
        assert torch.equal(a["momentum_buffer"], b["momentum_buffer"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_a_closed_terminal_save_too(options, monkeypatch, number):
    run = stopped_at(options, 2, monkeypatch, number)
    assert load_checkpoint(options.output.out / "tiny_last.pt", run.network, run.optimizer).step == 2


def test_nohup_stays_nohup(options, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(AssertionError):  # it is not interrupted
            stopped_at(options, 2, monkeypatch, signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (options.output.out / "tiny_best.pt").exists()  # it has ended


@pytest.mark.parametrize("busy", ["reading a batch", "between two batches"])
def test_a_killed_loader_process_is_reported_at_the_next_batch_and_loses_no_step(options, tmp_path, busy):
    """torch's own handler would raise at any line of the main thread: here in the log of step 3, or in its save."""
    options = changed(options, workers=2, overrides=(("subdivisions", "2"), ("max_batches", "200")))
    others = multiprocessing.active_children()  # of other tests, such as the server that forks their processes
    run = start(options)
    log_step, seen = run.logger.step, []

    def killing(number, *rest):
        log_step(number, *rest)
        if number == 3:
            loaders = [each for each in multiprocessing.active_children() if each not in others]
            os.kill(loaders[-1].pid, signal.SIGKILL)
            if busy == "between two batches":
                time.sleep(0.2)
                seen.append(number)  # is reached

    run.logger.step = killing
    with pytest.raises(DatasetError, match=r"^DataLoader worker.*; was it the memory") as error:
        try:
            train(run)
        finally:
            run.logger.close()
    assert "\n" not in str(error.value) and seen == [3] * (busy == "between two batches")
    assert goes_on_exactly(options, tmp_path) >= 3


def test_signal_handlers_are_as_before_after_a_run(options):
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(each) for each in numbers]
    finish(options)
    assert [signal.getsignal(each) for each in numbers] == before


def launched(options, project, workers):
    """tools/train.py as a process group of its own, for as many steps as it gets."""
    command = [
        sys.executable, project / "tools/train.py", "--cfg", options.cfg, "--data", options.data,
        "--out", options.output.out, "--workers", str(workers), "--seed", str(options.start.seed),
        "--max-batches", "1000000", "--device", "cpu", "--memory-format", "channels_last", "--amp", "off",
    ]  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, start_new_session=True, **pipes)


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def goes_on_exactly(options, tmp_path):
    """What is left in NAME_last.pt and a few steps more are what a run without a break gives."""
    network = network_of(cfg_text())
    step = load_checkpoint(
        options.output.out / "tiny_last.pt",
        network,
        make_optimizer(network, network.training_settings),
    ).step
    until = changed(options, overrides=(*options.overrides, ("max_batches", str(step + 5))))
    whole = finish(changed(until, out=tmp_path / "whole"))
    rest = finish(changed(until, resume=options.output.out / "tiny_last.pt"))
    assert same_tensors(parameters(rest), parameters(whole))
    return step


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_saves_first_and_the_run_goes_on_exactly(options, project, tmp_path, workers):
    process = launched(options, project, workers)
    wait_for(lambda: "training on" in process.stderr.readline(), process)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)  # a terminal's Ctrl-C reaches the workers too
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert f"interrupted; to continue: --resume {options.output.out}/tiny_last.pt instead of --weights" in out
    step = goes_on_exactly(options, tmp_path)
    assert f"step {step}: {options.output.out}/tiny_last.weights" in out


def test_a_killed_run_goes_on_exactly_from_its_last_checkpoint(options, project, tmp_path):
    process = launched(options, project, workers=2)
    last = options.output.out / "tiny_last.pt"
    wait_for(last.exists, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert goes_on_exactly(options, tmp_path) % 100 == 0


def test_a_cfg_whose_name_has_dots_keeps_it(options):
    cfg = options.cfg.with_name("tiny-1.1.cfg")
    options.cfg.rename(cfg)
    finish(changed(options, cfg=cfg))
    assert {"tiny-1.1_best.pt", "tiny-1.1_last.pt", "tiny-1.1_last.weights"} <= set(files(options.output.out))
