"""Learning rate schedules: Darknet's policies and one-cycle, as pure functions of the step.

Source: AlexeyAB network.c get_current_rate; pjreddie's is the same, without sgdr. The first update is step 1, because
Darknet counts the images of a step before it updates.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

POLICIES = ("constant", "step", "steps", "exp", "poly", "random", "sigmoid", "sgdr")  # of a cfg

# The cycle of Smith and Topin, "Super-Convergence" (2018), in the numbers of fast.ai's fit_one_cycle.
CYCLE_RISE = 0.3  # fraction of the steps in which the rate rises
CYCLE_START = 25.0  # peak / first rate
CYCLE_END = 1e4  # peak / last rate


@dataclass(frozen=True)
class Schedule:
    """The learning rate keys of [net], in Darknet's words. policy: one of POLICIES, or one-cycle."""

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
    """Return the learning rate of update number `step` (the first is 1).

    The policy `random` seeds its generator with the step, so that a resumed run gets the same rates.
    """
    if step < schedule.burn_in:
        return schedule.learning_rate * (step / schedule.burn_in) ** schedule.power
    return POLICY_FUNCTIONS[schedule.policy](schedule, step)


def with_policy(schedule: Schedule, policy: str) -> Schedule:
    """Return the schedule with another policy and without burn_in: one-cycle has its own warmup."""
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
    # a C float in Darknet; the power makes its rounding visible
    gamma = float(np.float32(schedule.gamma))
    return schedule.learning_rate * gamma**step


def _poly(schedule: Schedule, step: int) -> float:
    remaining = max(0.0, 1 - step / schedule.max_batches)
    return schedule.learning_rate * remaining**schedule.power


def _random(schedule: Schedule, step: int) -> float:
    return schedule.learning_rate * np.random.default_rng(step).random() ** schedule.power


def _sigmoid(schedule: Schedule, step: int) -> float:
    exponent = min(schedule.gamma * (step - schedule.step), 700.0)  # math.exp overflows above 709
    return schedule.learning_rate / (1 + math.exp(exponent))


def _sgdr(schedule: Schedule, step: int) -> float:
    start, cycle = 0, schedule.sgdr_cycle or schedule.max_batches
    while start + cycle < step:
        start += cycle
        cycle *= schedule.sgdr_mult
    low, high = schedule.learning_rate_min, schedule.learning_rate
    return low + 0.5 * (high - low) * (1 + math.cos((step - start) * math.pi / cycle))


def _one_cycle(schedule: Schedule, step: int) -> float:
    """Return the rate: it rises to learning_rate along half a cosine, falls along another, and then is constant.

    Steps count from 0 to max_batches - 1, as in torch's OneCycleLR.
    """
    peak, steps = schedule.learning_rate, schedule.max_batches
    at, top = min(step, steps) - 1, CYCLE_RISE * steps - 1
    if at <= top:
        return _between(peak / CYCLE_START, peak, at / top)
    return _between(peak, peak / CYCLE_END, (at - top) / (steps - 1 - top))


def _between(start: float, end: float, fraction: float) -> float:
    """Return the value at `fraction` (0..1) of half a cosine from start to end."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2


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
