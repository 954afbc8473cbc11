"""The learning rate at a step: Darknet's policies, and one beside them, as pure functions of floats.

Source: AlexeyAB network.c get_current_rate; pjreddie's is the same but for sgdr, which it does not know.
The first update happens at step 1, because Darknet counts the images of a step before it updates.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

POLICIES = ("constant", "step", "steps", "exp", "poly", "random", "sigmoid", "sgdr")  # of a cfg

# The cycle of Smith and Topin, "Super-Convergence" (2018), in the numbers of fast.ai's fit_one_cycle.
CYCLE_RISE = 0.3  # share of the steps in which the rate rises

CYCLE_START = 25.0  # the peak over the first rate

CYCLE_END = 1e4  # the peak over the last rate


@dataclass(frozen=True)
class Schedule:
    """What [net] says about the learning rate, in Darknet's words. policy: one of POLICIES or OTHER_POLICIES."""

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


def with_policy(schedule: Schedule, policy: str) -> Schedule:
    """The schedule with one of OTHER_POLICIES; without burn_in, as one-cycle rises by itself."""
    return replace(schedule, policy=policy, burn_in=0)


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


def _one_cycle(schedule: Schedule, step: int) -> float:
    """Half a cosine up to learning_rate, the peak, and half a cosine down; after max_batches it stays down.

    The steps count from 0 to max_batches - 1, as in torch's OneCycleLR.
    """
    peak, steps = schedule.learning_rate, schedule.max_batches
    at, top = min(step, steps) - 1, CYCLE_RISE * steps - 1
    if at <= top:
        return _between(peak / CYCLE_START, peak, at / top)
    return _between(peak, peak / CYCLE_END, (at - top) / (steps - 1 - top))


def _between(start: float, end: float, share: float) -> float:
    """From start (share 0) to end (share 1) along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


POLICY_FUNCTIONS = {
    "constant": _constant,
    "step": _step,
    "steps": _steps,
    "exp": _exp,
    "poly": _poly,
    "random": _random,
    "sigmoid": _sigmoid,
    "sgdr": _sgdr,
    "one-cycle": _one_cycle,
}
