"""yolo.defaults: the names that options offer are those that the package accepts."""

from yolo import defaults
from yolo.data.sample import METHODS
from yolo.model.heads.yolo import IOU_LOSSES
from yolo.model.network import WEIGHTS_VERSIONS
from yolo.train.losses.assign import DIALECTS


def test_the_names_of_dialects_and_losses_are_those_of_the_package():
    assert tuple(WEIGHTS_VERSIONS) == tuple(DIALECTS) == tuple(METHODS) == defaults.DIALECT_NAMES
    assert tuple(IOU_LOSSES) == defaults.IOU_LOSS_NAMES
