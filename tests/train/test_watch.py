"""train --watch: a film strip beside the run, which does not change the run and continues when the run is resumed."""

import json

import pytest
import torch

from tests.helpers.tiny_data import write_image
from tests.helpers.training_options import changed, finish, tiny_options, training_options
from yolo.errors import CfgError, DatasetError
from yolo.train.setup.run import start
from yolo.train.setup.run_folder import remove_old_run


@pytest.fixture
def options(four, tmp_path):
    return tiny_options(four, tmp_path, map_every=2, watch=(four.images[0], four.images[1]))


def trained(options, last, **changes):
    return finish(changed(options, overrides=(("max_batches", str(last)),), **changes))


def steps(folder):
    record = json.loads((folder / "watch" / "film.json").read_text())
    assert [image["name"] for image in record["images"]] == ["p0", "p1"]
    return [moment["step"] for moment in record["moments"]]


def test_watched_images_change_nothing_and_a_resumed_run_goes_on_with_them(options, tmp_path):
    run = trained(options, 3)
    folder = tmp_path / "run"
    assert steps(folder) == [0, 2, 3]  # the start, a score, the end
    page = (folder / "watch" / "index.html").read_text()
    assert page.count("<figure") == 6 and "step 3" in page
    plain = trained(changed(options, out=tmp_path / "plain", watch=()), 3)
    assert not (tmp_path / "plain" / "watch").exists()
    for ours, theirs in zip(run.network.state_dict().values(), plain.network.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    trained(options, 5, resume=folder / "tiny_last.pt", watch=())  # without --watch
    assert steps(folder) == [0, 2, 3, 4, 5]
    remove_old_run(folder, "tiny", None)
    assert not (folder / "watch").exists()


def test_what_cannot_be_watched_stops_before_the_data_is_read(options, four, tmp_path):
    four.images[3].write_bytes(b"no image either")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    for watch, error in (((broken,), DatasetError), ((tmp_path / "away.png",), OSError)):
        with pytest.raises(error, match="broken|away"):
            start(changed(options, watch=watch))
    assert not (tmp_path / "run").exists()


def test_a_full_disk_costs_images_and_not_the_run(options, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "watch").write_text("a file where the folder should be")
    run = trained(options, 1)
    assert run.progress.step == 1 and "training continues without this frame" in capsys.readouterr().err


def test_a_classifier_has_nothing_to_watch(tmp_path):
    """The cfg alone decides, before any image of the data set is read."""
    cfg = "[net]\nwidth=8\nheight=8\nbatch=2\nmax_batches=2\n[convolutional]\nfilters=2\n[avgpool]\n[softmax]\n"
    (tmp_path / "c.cfg").write_text(cfg)
    for name in ("a", "b"):
        for number in range(2):
            write_image(tmp_path / "set" / name / f"{number}.png", torch.zeros(8, 8, 3, dtype=torch.uint8).numpy())
    (tmp_path / "set" / "a" / "broken.png").write_bytes(b"no image")
    (tmp_path / "names").write_text("a\nb\n")
    (tmp_path / "c.data").write_text(f"classes=2\ntrain={tmp_path}/set\nlabels={tmp_path}/names\n")
    options = training_options(
        tmp_path / "c.cfg", tmp_path / "c.data", out=tmp_path / "run", watch=(tmp_path / "x.png",)
    )
    with pytest.raises(CfgError, match="found a classifier with --watch"):
        start(options)
    assert not (tmp_path / "run").exists()
