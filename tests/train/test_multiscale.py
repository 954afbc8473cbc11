"""yolo.train.multiscale: the sizes of random=1 in both dialects, by hand and by their rules; the stages of --sizes."""

from argparse import ArgumentTypeError
from dataclasses import replace

import pytest
import torch

from tests.helpers.golden import network_of
from yolo.errors import CfgError
from yolo.train.multiscale import Sizes, Stage, check_stages, parse_stages

ALEXEYAB = Sizes(base=(416, 608), random=1.0, resize_step=32, max_batches=5000, seed=1)
PJREDDIE = replace(ALEXEYAB, dialect="pjreddie")
TWO_SCALES = """[net]
width=64
height=64
channels=1
[convolutional]
filters=2
size=3
stride=2
pad=1
activation=linear
[convolutional]
filters=2
size=3
stride=2
pad=1
activation=linear
[upsample]
stride=2
[route]
layers=-1,0
"""


def sizes_at(sizes, steps):
    return [sizes.size_at(step) for step in steps]


# ------------------------------------------------------------------------------------------ AlexeyAB's


def test_without_random_the_size_is_the_cfgs():
    for sizes in (ALEXEYAB, PJREDDIE):
        assert replace(sizes, base=(40, 72), random=0.0).size_at(17) == (40, 72)


def test_the_first_and_last_blocks_are_the_largest():
    # by hand: 1.4 * 416 / 32 + 1 = 19.2 and 1.4 * 608 / 32 + 1 = 27.6, rounded, times 32
    largest = (19 * 32, 28 * 32)
    assert set(sizes_at(ALEXEYAB, range(1, 11))) == {largest}
    assert len(set(sizes_at(ALEXEYAB, range(4801, 4911)))) > 3
    # detector.c compares the steps done, 4910, with 5000 - 100 when a new size is due; 4900 is not above it
    assert set(sizes_at(ALEXEYAB, range(4911, 5001))) == {largest}
    drawn = {replace(ALEXEYAB, seed=seed).size_at(4910) for seed in range(9)}
    assert len(drawn) > 3


@pytest.mark.parametrize(("last", "first"), [(5001, 4911), (5009, 4911), (5010, 4921)])
def test_the_last_sizes_begin_with_a_block(last, first):
    sizes = [replace(ALEXEYAB, max_batches=last, seed=seed) for seed in range(9)]
    assert {each.size_at(first) for each in sizes} == {(19 * 32, 28 * 32)}
    assert len({each.size_at(first - 1) for each in sizes}) > 3


def test_a_size_lasts_ten_steps():
    for sizes in (ALEXEYAB, PJREDDIE):
        for start in range(11, 400, 10):
            assert len(set(sizes_at(sizes, range(start, start + 10)))) == 1


def test_sizes_divide_by_resize_step_and_stay_between_the_factors():
    sizes = set(sizes_at(ALEXEYAB, range(11, 4900, 10)))
    assert all(side % 32 == 0 for size in sizes for side in size)
    heights = {height for height, _ in sizes}
    # by hand: 416 / 1.4 / 32 + 1 = 10.3 is the smallest; a factor below 1 never enlarges
    assert min(heights) == 10 * 32 and max(heights) == 19 * 32
    assert any(height < 416 for height in heights) and any(height > 416 for height in heights)


def test_sizes_follow_from_the_seed_and_step_alone():
    for sizes in (ALEXEYAB, PJREDDIE):
        assert sizes.size_at(1234) == sizes.size_at(1234)
        other = replace(sizes, seed=2)
        assert any(sizes.size_at(step) != other.size_at(step) for step in range(11, 200, 10))


@pytest.mark.parametrize(
    ("base", "random", "expected"),
    [
        ((160, 160), 1.5, (288, 288)),  # 1.5 * 5 + 1 = 8.5: C's roundl goes up, Python's round down
        ((96, 96), 1.5, (192, 192)),  # 1.5 * 3 + 1 = 5.5
        ((416, 416), 2.0, (864, 864)),
        ((416, 416), 0.5, (256, 256)),  # 0.5 * 13 + 1 = 7.5
    ],
)
def test_random_may_be_the_factor_itself_and_halves_go_up(base, random, expected):
    assert replace(ALEXEYAB, base=base, random=random).size_at(1) == expected


def test_a_tiny_network_keeps_at_least_one_resize_step():
    # by hand: 1.4 * 8 / 32 + 1 = 1.35
    tiny = replace(ALEXEYAB, base=(8, 8))
    assert set(sizes_at(tiny, range(1, 3000, 10))) == {(32, 32), (8, 8)}


def test_a_factor_below_one_never_enlarges():
    # by hand: from 1 / 1.4 to 1.4, plus 1, is 2 steps of 32; for a factor below 1 the cfg's size stands instead
    sizes = sizes_at(replace(ALEXEYAB, base=(32, 32)), range(11, 3000, 10))
    assert set(sizes) == {(32, 32), (64, 64)}
    assert 100 < sizes.count((32, 32)) < 200


# ------------------------------------------------------------------------------------------ pjreddie's


def test_pjreddies_sizes_are_squares_of_320_to_608_for_any_cfg():
    sizes = sizes_at(PJREDDIE, range(1, 4800, 10))
    assert set(sizes) == {(side, side) for side in range(320, 609, 32)}
    assert set(sizes) == set(sizes_at(replace(PJREDDIE, base=(96, 64)), range(1, 4800, 10)))


def test_pjreddies_last_blocks_are_608():
    # examples/detector.c: 608 where the steps done plus 200 are more than max_batches: 4810, not yet 4800
    assert set(sizes_at(PJREDDIE, range(4811, 5001))) == {(608, 608)}
    assert len({replace(PJREDDIE, seed=seed).size_at(4810) for seed in range(20)}) > 3


def test_pjreddies_random_is_a_whole_number():
    # parser.c reads it with atoi: 1.4 is 1, and .5 is 0
    assert replace(PJREDDIE, random=0.5).size_at(15) == (416, 608)
    assert replace(PJREDDIE, random=1.4).size_at(4999) == (608, 608)


# ------------------------------------------------------------------------------------------ stages


def test_stages_begin_with_their_step_and_random_is_off():
    stages = parse_stages("224@0,320x256@500,416@1500")
    assert stages == (Stage(0, (224, 224)), Stage(500, (256, 320)), Stage(1500, (416, 416)))
    sizes = replace(ALEXEYAB, stages=stages)
    found = sizes_at(sizes, (1, 499, 500, 1499, 1500, 4999))
    assert found == [(224, 224)] * 2 + [(256, 320)] * 2 + [(416, 416)] * 2


def test_the_first_stage_may_be_called_step_1():
    sizes = replace(ALEXEYAB, stages=parse_stages("64@1, 96@2"))
    assert sizes_at(sizes, (1, 2)) == [(64, 64), (96, 96)]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "found '', expected SIZE@STEP"),
        ("224", "found '224', expected SIZE@STEP"),
        ("224@0,320@", "found '320@', expected"),
        ("224x@0", "found '224x@0', expected"),
        ("0@0", "found '0@0', expected"),
        ("224@-1", "found '224@-1', expected"),
        ("٢٢٤@0", "expected SIZE@STEP"),
        ("224@100", "expected a first size from step 0"),
        ("224@0,320@500,416@500", "expected each size at a later step"),
        ("224@0,320@1", "expected each size at a later step"),
        ("224@0,320@500,416@300", "expected each size at a later step"),
    ],
)
def test_a_wrong_list_of_sizes_is_a_wrong_option(text, match):
    with pytest.raises(ArgumentTypeError, match=match):
        parse_stages(text)


def test_a_size_that_the_strides_do_not_divide_is_named():
    # by hand: 62 pixels become 31, then 16, and twice 16 is not 31
    network = network_of(TWO_SCALES)
    check_stages(network, parse_stages("64@0,96x32@9"))
    with pytest.raises(
        CfgError,
        match=r"^--sizes: found 64x62, expected one that every layer can compute: a multiple of its stride$",
    ):
        check_stages(network, parse_stages("64@0,64x62@9"))
    assert {tensor.device for tensor in network.state_dict().values()} == {torch.device("cpu")}
