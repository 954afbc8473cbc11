"""yolo.schedule: the rates that compiled Darknet recorded, each policy by hand, one-cycle against torch's."""

import pytest
import torch

from tests.helpers.golden import network_of, read_json
from yolo.defaults import OTHER_POLICIES
from yolo.schedule import POLICIES, POLICY_FUNCTIONS, Schedule, learning_rate, with_policy

CASES = ("steps", "constant", "step", "exp", "poly", "poly_burn", "sigmoid", "sgdr", "burn_power")
LAYER = "\n[convolutional]\n"


def schedule(policy, **values):
    return Schedule(learning_rate=0.1, policy=policy, max_batches=100, **values)


def test_the_list_of_cases_is_the_recorded_one(shared):
    assert set(CASES) == set(read_json(shared / "darknet_golden/train/learning_rates.json"))


@pytest.mark.parametrize("name", CASES)
def test_rates_are_those_of_compiled_darknet(shared, name):
    # recorded with AlexeyAB's network.c; from the keys as a user writes them
    case = read_json(shared / "darknet_golden/train/learning_rates.json")[name]
    net = "[net]\nwidth=8\nheight=8\n" + case["net"]
    net += f"learning_rate={case['learning_rate']}\nmax_batches={case['max_batches']}\n"
    settings = network_of(net + LAYER).training_settings.schedule
    assert case["rates"]
    for step, rate in case["rates"]:
        assert learning_rate(settings, step) == pytest.approx(rate, rel=1e-6), step


def test_every_policy_has_its_function():
    assert {*POLICIES, *OTHER_POLICIES} == set(POLICY_FUNCTIONS)


def test_burn_in_rises_with_the_power_and_ends_before_its_own_step():
    burning = schedule("constant", burn_in=10)
    assert learning_rate(burning, 1) == pytest.approx(0.1 * 0.1**4)
    assert learning_rate(burning, 5) == pytest.approx(0.1 * 0.5**4)
    assert learning_rate(burning, 10) == 0.1


def test_burn_in_applies_to_every_policy():
    for policy in POLICY_FUNCTIONS:
        burning = schedule(policy, burn_in=10, power=2, steps=(3,), scales=(0.5,))
        assert learning_rate(burning, 5) == pytest.approx(0.1 * 0.25)


def test_a_step_counts_from_its_own_number_on():
    stepped = schedule("steps", steps=(20, 30), scales=(0.1, 0.5))
    assert [round(learning_rate(stepped, step), 9) for step in (19, 20, 29, 30)] == [
        0.1,
        0.01,
        0.01,
        0.005,
    ]
    regular = schedule("step", step=10, scale=0.5)
    assert [learning_rate(regular, step) for step in (9, 10, 20)] == [0.1, 0.05, 0.025]


def test_poly_ends_at_zero_and_stays_there():
    assert learning_rate(schedule("poly", power=4), 100) == 0
    assert learning_rate(schedule("poly", power=0.5), 150) == 0  # not a complex number


def test_sigmoid_far_out_is_zero_and_no_overflow():
    assert learning_rate(schedule("sigmoid", gamma=1.0, step=1), 10**6) == pytest.approx(0, abs=1e-300)
    assert learning_rate(schedule("sigmoid", gamma=0.1, step=50), 50) == pytest.approx(0.05)


def test_sgdr_starts_again_after_each_longer_cycle():
    warm = schedule("sgdr", sgdr_cycle=10, sgdr_mult=2, learning_rate_min=0.01)
    assert learning_rate(warm, 5) == pytest.approx(0.055)  # the middle of cycle one
    assert learning_rate(warm, 10) == pytest.approx(0.01)  # its end
    assert learning_rate(warm, 20) == pytest.approx(0.055)  # the middle of cycle two, 10 to 30


def test_random_is_the_same_for_the_same_step_and_within_the_rate():
    drawn = schedule("random", power=2)
    rates = [learning_rate(drawn, step) for step in range(50)]
    assert rates == [learning_rate(drawn, step) for step in range(50)]
    assert len(set(rates)) == 50 and all(0 <= rate <= 0.1 for rate in rates)


def torchs_one_cycle(steps):
    """The rates of torch's OneCycleLR for `steps` updates; torch divides its first rate for the last."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=steps, pct_start=0.3, anneal_strategy="cos",
        cycle_momentum=False, div_factor=25, final_div_factor=1e4 / 25, three_phase=False,
    )  # fmt: skip
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step() if len(rates) < steps else None
    return rates


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 100, 1001])
def test_one_cycle_is_torchs(steps):
    cycle = Schedule(learning_rate=0.1, policy="one-cycle", max_batches=steps)
    rates = [learning_rate(cycle, step) for step in range(1, steps + 1)]
    assert rates == pytest.approx(torchs_one_cycle(steps), rel=1e-12)


def test_one_cycle_by_hand():
    cycle = schedule("one-cycle")
    assert learning_rate(cycle, 1) == pytest.approx(0.1 / 25)
    assert learning_rate(cycle, 30) == pytest.approx(0.1)  # step 30 of 100 is the last of its rise
    assert learning_rate(cycle, 65) == pytest.approx((0.1 + 1e-5) / 2)  # halfway down, 30 to 100
    assert learning_rate(cycle, 100) == learning_rate(cycle, 150) == pytest.approx(1e-5)


def test_another_policy_than_the_cfgs_has_no_burn_in():
    cycle = with_policy(schedule("steps", burn_in=10), "one-cycle")
    assert (cycle.policy, cycle.burn_in, cycle.learning_rate) == ("one-cycle", 0, 0.1)
    assert learning_rate(cycle, 1) == pytest.approx(0.1 / 25)
