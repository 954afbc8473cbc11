"""The whole training path on data that the network can memorize: the loss falls, the mAP becomes 1."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.tiny_data import FOUR_IMAGES, cfg_text, write_set
from tests.helpers.training_options import finish, training_options

CFG = (
    # One more convolution, as boxes of 24 pixels are larger than what the tiny network sees at once
    cfg_text(dropout=False)
    .replace("[convolutional]\nfilters=14", "{}[convolutional]\nfilters=14")
    .format("[convolutional]\nbatch_normalize=1\nfilters=32\nsize=3\npad=1\nactivation=leaky\n\n")
    .replace("filters=6\n", "filters=16\n")
    .replace("filters=12\n", "filters=32\n")
    .replace("jitter=.2", "jitter=0")
)


@pytest.mark.parametrize("more", ["", "iou_loss=ciou\n"], ids=["mse", "ciou"])
def test_four_images_are_learned_by_heart(tmp_path, more):
    drawn = write_set(tmp_path / "four", FOUR_IMAGES)
    cfg = tmp_path / "tiny.cfg"
    cfg.write_text(CFG + more)
    overrides = (("max_batches", "400"), ("burn_in", "20"), ("steps", "300"))
    run = finish(training_options(cfg=cfg, data=drawn.data, out=tmp_path / "run", overrides=overrides))
    assert run.progress.best_map > 0.95
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    losses = [event.value for event in events.Scalars("loss/total")]
    assert len(losses) == 400
    assert sum(losses[-20:]) < 0.2 * sum(losses[:20])
    ious = [event.value for event in events.Scalars("train/iou")]
    assert sum(ious[-20:]) / 20 > 0.7 > sum(ious[:20]) / 20
