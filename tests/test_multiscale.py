"""yolo.train.multiscale: the sizes of random=1, by hand and by their rules."""

from functools import partial

import pytest

from yolo.train.multiscale import size_at_step

SIZES = partial(size_at_step, base=(416, 608), random=1.0, resize_step=32, max_batches=5000, seed=1)


def test_without_random_the_size_is_the_cfgs():
    assert SIZES(17, base=(40, 72), random=0.0) == (40, 72)


def test_the_first_and_last_steps_are_the_largest():
    # by hand: 1.4 * 416 / 32 + 1 = 19.2 and 1.4 * 608 / 32 + 1 = 27.6, rounded, times 32
    largest = (19 * 32, 28 * 32)
    assert {SIZES(step) for step in range(1, 11)} == {largest}
    assert {SIZES(step) for step in range(4901, 5001)} == {largest}
    assert len({SIZES(step) for step in range(4801, 4901)}) > 3


def test_a_size_lasts_ten_steps():
    for start in range(11, 400, 10):
        assert len({SIZES(step) for step in range(start, start + 10)}) == 1


def test_sizes_divide_by_resize_step_and_stay_between_the_factors():
    sizes = {SIZES(step) for step in range(11, 4900, 10)}
    assert all(side % 32 == 0 for size in sizes for side in size)
    heights = {height for height, _ in sizes}
    # by hand: 416 / 1.4 / 32 + 1 = 10.3 is the smallest; a factor below 1 never enlarges
    assert min(heights) == 10 * 32 and max(heights) == 19 * 32
    assert any(height < 416 for height in heights) and any(height > 416 for height in heights)


def test_sizes_follow_from_the_seed_and_step_alone():
    assert SIZES(1234) == SIZES(1234)
    assert any(SIZES(step) != SIZES(step, seed=2) for step in range(11, 200, 10))


@pytest.mark.parametrize(
    ("base", "random", "expected"),
    [
        ((160, 160), 1.5, (288, 288)),  # 1.5 * 5 + 1 = 8.5: C's roundl goes up, Python's round down
        ((96, 96), 1.5, (192, 192)),  # 1.5 * 3 + 1 = 5.5
        ((416, 416), 2.0, (864, 864)),
    ],
)
def test_random_may_be_the_factor_itself_and_halves_go_up(base, random, expected):
    assert SIZES(1, base=base, random=random) == expected


def test_a_tiny_network_keeps_at_least_one_resize_step():
    # by hand: 1.4 * 8 / 32 + 1 = 1.35
    assert {SIZES(step, base=(8, 8)) for step in range(1, 3000, 10)} == {(32, 32), (8, 8)}


def test_a_factor_below_one_never_enlarges():
    # by hand: from 1 / 1.4 to 1.4, plus 1, is 2 steps of 32; for a factor below 1 the cfg's size stands instead
    sizes = [SIZES(step, base=(32, 32)) for step in range(11, 3000, 10)]
    assert set(sizes) == {(32, 32), (64, 64)}
    assert 100 < sizes.count((32, 32)) < 200
