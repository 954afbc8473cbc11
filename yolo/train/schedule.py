"""The learning rate at a step: Darknet's policies as pure functions of floats.

Source: AlexeyAB network.c get_current_rate and get_current_seq_subdivisions; pjreddie network.c get_current_rate.
The first update happens at step 1, because Darknet counts the pictures of a step before it updates.
"""

import math
from dataclasses import dataclass

import numpy as np

POLICIES = ("constant", "step", "steps", "exp", "poly", "random", "sigmoid", "sgdr")


@dataclass(frozen=True)
class Schedule:
    """What [net] says about the learning rate, in Darknet's words."""

    learning_rate: float
    policy: str
    max_batches: int
    burn_in: int = 0
    power: float = 4.0
    step: int = 1
    scale: float = 1.0
    gamma: float = 1.0
    steps: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    learning_rate_min: float = 1e-5
    sgdr_cycle: int = 0  # 0: max_batches
    sgdr_mult: int = 2


def learning_rate(schedule: Schedule, step: int) -> float:
    """The rate of update number `step` (the first is 1).

    `random` draws from a generator seeded by the step, so that a resumed run sees the same rates.
    """
    if step < schedule.burn_in:
        return schedule.learning_rate * (step / schedule.burn_in) ** schedule.power
    return POLICY_FUNCTIONS[schedule.policy](schedule, step)


def _constant(schedule: Schedule, step: int) -> float:
    return schedule.learning_rate


def _step(schedule: Schedule, step: int) -> float:
    return schedule.learning_rate * schedule.scale ** (step // schedule.step)


def _steps(schedule: Schedule, step: int) -> float:
    rate = schedule.learning_rate
    for at, scale in zip(schedule.steps, schedule.scales, strict=True):
        if at > step:
            break
        rate *= scale
    return rate


def _exp(schedule: Schedule, step: int) -> float:
    gamma = float(
        np.float32(schedule.gamma)
    )  # a C float in Darknet; the power makes its rounding visible
    return schedule.learning_rate * gamma**step


def _poly(schedule: Schedule, step: int) -> float:
    left = max(0.0, 1 - step / schedule.max_batches)
    return schedule.learning_rate * left**schedule.power


def _random(schedule: Schedule, step: int) -> float:
    return schedule.learning_rate * np.random.default_rng(step).random() ** schedule.power


def _sigmoid(schedule: Schedule, step: int) -> float:
    exponent = min(schedule.gamma * (step - schedule.step), 700.0)  # beyond it math.exp overflows
    return schedule.learning_rate / (1 + math.exp(exponent))


def _sgdr(schedule: Schedule, step: int) -> float:
    start, cycle = 0, schedule.sgdr_cycle or schedule.max_batches
    while start + cycle < step:
        start += cycle
        cycle *= schedule.sgdr_mult
    low, high = schedule.learning_rate_min, schedule.learning_rate
    return low + 0.5 * (high - low) * (1 + math.cos((step - start) * math.pi / cycle))


POLICY_FUNCTIONS = {
    "constant": _constant,
    "step": _step,
    "steps": _steps,
    "exp": _exp,
    "poly": _poly,
    "random": _random,
    "sigmoid": _sigmoid,
    "sgdr": _sgdr,
}
