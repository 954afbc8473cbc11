"""yolo.train.setup.run: everything that would stop a run later stops it before the first step, in one line."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.tiny_data import cfg_text, network_of, write_set
from tests.helpers.training_options import changed, tiny_options
from yolo.boxes import paired_giou
from yolo.errors import CfgError, DatasetError, WeightsError
from yolo.model.weights import save_weights
from yolo.train.checkpoint import save_checkpoint
from yolo.train.multiscale import largest_input
from yolo.train.setup.preflight import estimate_memory
from yolo.train.setup.run import start


@pytest.fixture
def options(four, tmp_path):
    return tiny_options(four, tmp_path)


def started(options, **changes):
    """A Run, its log files closed again."""
    run = start(changed(options, **changes))
    run.logger.close()
    return run


def refused(options, error, match, **changes):
    with pytest.raises(error, match=match) as raised:
        started(options, **changes)
    assert "\n" not in str(raised.value)
    assert not options.output.out.exists()  # nothing is written before everything is checked


def weights(options, seen, text=None, cutoff=None):
    path = options.cfg.with_name("some.weights")
    save_weights(network_of(text or cfg_text(), seed=3), path, seen, cutoff)
    return path


def test_cfg_and_command_line_become_a_run(options):
    run = started(options, overrides=(("batch", "6"), ("subdivisions", "3"), ("max_batches", "9")))
    assert (run.batch, run.subdivisions, run.last_step, run.name) == (6, 3, 9, "tiny")
    assert run.schedule.burn_in == 2
    assert len(run.batches) == 9 * 3
    assert run.validation.start == 2 and run.validation.every == 100 and run.validation.score.keywords["batch"] == 2
    assert run.progress.step == 0 and run.progress.best_map == -1


def test_data_without_a_valid_list_train_unscored(options, four):
    four.data.write_text(f"classes=2\ntrain={four.folder}/list.txt\nnames={four.folder}/tiny.names\n")
    assert started(options).validation is None


def test_the_cfgs_box_loss_gives_way_to_the_options(options):
    assert started(options).loss.settings[0].box_overlap is None
    run = started(options, iou_loss="giou")
    assert run.loss.settings[0].box_overlap is paired_giou
    assert run.network.head_settings[0].box_overlap is None  # the network is what the cfg says


def test_backup_is_where_files_go_without_out(options, four):
    assert started(options, out=None).folder == four.folder / "backup"


# ------------------------------------------------------------------------------------------------------------- the data


@pytest.mark.parametrize(
    ("file", "content", "match"),
    [
        ("tiny.data", "classes=3\ntrain={d}/list.txt\nnames={d}/tiny.names\n",
         r"tiny.data: found classes=3, expected 2 as in the heads of the cfg"),
        ("tiny.data", "classes=2\nnames={d}/tiny.names\n", "tiny.data: expected the keys train, valid and"),
        ("tiny.data", "classes=2\ntrain={d}/list.txt\n", "tiny.data: expected the keys train, valid and"),
        ("tiny.data", "train={d}/list.txt\n", "tiny.data:1: classes: found nothing"),
        ("tiny.data", "classes=two\n", "tiny.data:1: classes: found 'two', expected a whole number"),
        ("tiny.data", "classes 2\n", "tiny.data:1: found 'classes 2', expected key=value"),
        ("tiny.data", "", "tiny.data:1: classes: found nothing"),
        ("tiny.names", "red\ngreen\nblue\n", "found classes=2 and 3 names in .*tiny.names, expected as many"),
        ("tiny.names", "red\n\ngreen\n", "found classes=2 and 3 names in .*tiny.names, expected as many"),
        ("tiny.names", "\n\n", "tiny.names: found no class name"),
        ("list.txt", "\n", "list.txt: found no image"),
        ("labels/p1.txt", "2 .5 .5 .1 .1\n",
         r"list.txt: found 1 problem, the first: .*p1.txt:1: found class 2, expected 0 to 1; "
         "correct them, or leave .* --on-problem skip"),
        ("images/p1.png", "no image", "list.txt: found 1 problem, the first: .*p1.png: found"),
    ],
)  # fmt: skip
def test_wrong_data_are_one_line(options, four, file, content, match):
    (four.folder / file).write_text(content.format(d=four.folder))
    refused(options, DatasetError, match)


def test_missing_files_are_named_and_those_of_a_data_file_with_its_line(options, four):
    refused(options, FileNotFoundError, "away.cfg", cfg=Path("away.cfg"))
    refused(options, FileNotFoundError, "away.data", data=Path("away.data"))
    (four.folder / "list.txt").unlink()
    refused(options, DatasetError, r"tiny.data:2: train: found .*, expected a file .*; looked for .*/list.txt$")


def test_a_list_entry_that_is_not_there_stops_or_is_left_out(options, four, caplog):
    four.images[3].unlink()
    refused(options, DatasetError, "found 1 problem, the first: .*p3.png: no such file")
    with caplog.at_level("INFO"):
        run = started(options, skip_problems=True)
    assert len(run.validation.score.args[2]) == 3
    assert "| image that is not there    |        2 | leaves it out" in caplog.text  # in both lists
    assert f"{four.folder}/list.txt: 3 images, 4 objects (red 2, green 2)" in caplog.text


def test_images_without_label_files_are_logged_but_stop_nothing(options, four, caplog):
    (four.folder / "labels" / "p0.txt").unlink()
    with caplog.at_level("INFO"):
        run = started(options)
    assert len(run.validation.score.args[2]) == 4
    assert "| image without a label file |        2 | takes it as background" in caplog.text


def test_nothing_to_learn_from_is_an_error(options, four):
    for label in (four.folder / "labels").iterdir():
        label.write_text("")
    refused(options, DatasetError, "found no object in any label file")
    for image in four.images:
        image.unlink()
    refused(options, DatasetError, "list.txt: found no usable image", skip_problems=True)


# -------------------------------------------------------------------------------------------------------------- the cfg


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        ((("max_batches", "0"),), "found max_batches=0, expected at least 1"),
        ((("batch", "x"),), r"\[net\] batch: found 'x', expected a whole number"),
        ((("batch", "0"),), r"\[net\] batch: found '0', expected a whole number of at least 1"),
        (
            (("learning-rate", ".1"),),
            r"tiny.cfg: found learning-rate=.1 for \[net\], expected a key",
        ),
        ((("policy", "stairs"),), r"\[net\] policy: found 'stairs', expected one of"),
        ((("width", "-1"),), r"\[net\] width: found '-1'"),
    ],
)
def test_values_that_cannot_be_are_one_line(options, overrides, match):
    refused(options, CfgError, match, overrides=overrides)


def test_a_network_without_head_or_loss_cannot_be_trained(options):
    options.cfg.write_text("[net]\nwidth=64\nheight=48\nmax_batches=5\n[convolutional]\nfilters=2\n")
    match = r"tiny.cfg:5: found \[convolutional\] at the end and no loss, expected \[softmax\]"
    refused(options, CfgError, match)


# ---------------------------------------------------------------------------------------------------------- the weights


def test_a_run_with_weights_starts_at_their_seen(options):
    run = started(options, weights=weights(options, seen=12))
    assert (run.progress.step, run.progress.seen) == (3, 12)
    assert len(run.batches) == 3
    expected = network_of(cfg_text(), seed=3).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in run.network.state_dict().items())


def test_seen_counts_the_images_that_are_really_trained_on(options):
    """batch=10 in 3 parts is 9 images a step, as in Darknet."""
    path = weights(options, seen=27)
    run = started(options, weights=path, overrides=(("batch", "10"), ("subdivisions", "3")))
    assert (run.batch, run.progress.step) == (9, 3)


def test_weights_past_max_batches_are_an_error_and_clear_starts_at_step_0(options):
    path = weights(options, seen=24)
    refused(
        options, WeightsError,
        "some.weights: found seen=24 images, which is step 6 of max_batches=6: nothing is left to train; --clear",
        weights=path,
    )  # fmt: skip
    run = started(options, weights=path, clear=True)
    assert (run.progress.step, run.progress.seen) == (0, 0)


def test_a_cutoff_loads_the_layers_below_it_and_starts_at_step_0(options):
    run = started(options, weights=weights(options, seen=10**6, cutoff=3), cutoff=3, seed=4)
    assert run.progress.step == 0
    loaded, fresh = network_of(cfg_text(), seed=3), network_of(cfg_text(), seed=4)
    first, last = "layers.0.conv.weight", "layers.4.conv.weight"
    last = next(name for name, _ in reversed([*run.network.named_parameters()]) if "weight" in name)
    assert torch.equal(run.network.state_dict()[first], loaded.state_dict()[first])
    assert torch.equal(run.network.state_dict()[last], fresh.state_dict()[last])


def test_a_cutoff_from_a_name_is_confirmed_by_the_size(options):
    whole = weights(options, seen=0).read_bytes()
    path = weights(options, seen=0, cutoff=3)
    part = path.read_bytes()
    for content in (part + bytes(4), whole):
        path.write_bytes(content)
        refused(
            options, WeightsError, "found [0-9,]+ bytes after the header, expected [0-9,]+ for the layers below 3, as",
            weights=path, cutoff=3, named_cutoff=True,
        )  # fmt: skip
    assert started(options, weights=path, cutoff=3).progress.step == 0  # as --cutoff 3 asks
    path.write_bytes(part)
    run = started(options, weights=path, cutoff=3, named_cutoff=True, overwrite=True)
    assert run.progress.step == 0


def test_files_given_for_each_other_are_one_line(options, tmp_path):
    path = weights(options, seen=0)
    refused(options, WeightsError, "some.weights: found .*, expected a checkpoint", resume=path)
    checkpoint = tmp_path / "some.pt"
    torch.save({"a": torch.zeros(3)}, checkpoint)
    refused(options, WeightsError, "some.pt: ", weights=checkpoint)
    refused(options, WeightsError, "some.pt: ", resume=checkpoint)
    refused(options, IsADirectoryError, str(tmp_path), weights=tmp_path)
    refused(options, IsADirectoryError, str(tmp_path), resume=tmp_path)


def test_a_folder_that_cannot_be_made_is_an_os_error(options):
    options.output.out.write_text("a file")
    with pytest.raises(FileExistsError):
        started(options)


def test_the_same_lists_may_be_relative_to_the_data_file(options, tmp_path):
    drawn = write_set(tmp_path / "relative", [[(8, 8, 24, 24, 0)]])
    drawn.data.write_text("classes=2\ntrain=list.txt\nvalid=list.txt\nnames=tiny.names\n")
    assert len(started(options, data=drawn.data).validation.score.args[2]) == 1


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"overrides": (("batch", "2"), ("max_batches", "50"))}, "batch=4, expected 2"),
        ({"iou_loss": "giou"}, "iou_loss=the cfg's, expected giou"),
        ({"dialect": "pjreddie"}, "dialect=alexeyab, expected pjreddie"),
    ],
)
def test_a_checkpoint_resumes_only_with_the_settings_of_its_run(options, changes, found):
    run = started(options)
    save_checkpoint(options.cfg.with_name("a.pt"), run.network, run.optimizer, run.progress)
    with pytest.raises(WeightsError, match=found):
        started(options, resume=options.cfg.with_name("a.pt"), **changes)


def test_images_have_one_channel_or_three(options):
    text = cfg_text().replace("channels=3", "channels=4")
    options.cfg.write_text(text)
    refused(options, CfgError, "found channels=4, expected 1 or 3")


def test_the_gradient_of_a_box_loss_that_no_head_has_decides_nothing(options):
    run = started(options, box_gradient="autograd")
    old = replace(run.progress, settings={**run.progress.settings, "box_gradient": "autograd"})
    path = options.cfg.with_name("a.pt")
    save_checkpoint(path, run.network, run.optimizer, old)
    assert started(options, resume=path).progress.step == 0  # all heads have mse
    run = started(options, iou_loss="giou", box_gradient="autograd")
    save_checkpoint(path, run.network, run.optimizer, run.progress)
    with pytest.raises(WeightsError, match="box_gradient=autograd, expected darknet"):
        started(options, iou_loss="giou", resume=path)


def test_the_memory_of_the_largest_random_size_decides(options, monkeypatch):
    """The message names subdivisions with which the same run starts."""
    text = cfg_text().replace("[yolo]", "[yolo]\nrandom=1")
    options.cfg.write_text(text)
    base = {"overrides": (("batch", "8"), ("subdivisions", "1"))}
    network = network_of(text)
    need = estimate_memory(network, 8, largest_input(network)).to_come
    assert need > estimate_memory(network, 8, (network.input.height, network.input.width)).to_come
    monkeypatch.setattr("yolo.train.setup.checks.free_bytes", lambda device: need - 1)
    with pytest.raises(CfgError, match="found subdivisions=1, expected more: --set subdivisions=2 fits") as raised:
        started(options, **base)
    assert "only" in str(raised.value) and "\n" not in str(raised.value)
    assert started(options, overrides=(("batch", "8"), ("subdivisions", "2"))).subdivisions == 2
    assert started(options, **base, ignore_memory=True).subdivisions == 1
    monkeypatch.setattr("yolo.train.setup.checks.free_bytes", lambda device: 1)
    with pytest.raises(CfgError, match="a smaller width and height may fit"):
        started(options, **base)
