"""Exponential moving average (EMA) of the weights over the steps: the standard one, and Darknet's (ema_alpha)."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from yolo.defaults import EMA_DECAY
from yolo.model.network import Network

WARM_UP = 2000  # steps in which the decay rises to 1 - 1/e of its value (as in ultralytics and timm)

DARKNET_LAST_STEPS = 1000  # steps that are left when the EMA replaces the weights (network.c)
CONVOLUTIONS = ("conv", "convolutional")


@dataclass(frozen=True)
class EmaStep:
    """What happens to the EMA after an update.

    decay: weight of its old value, the rest is that of the current weights; None: the EMA does not change;
    becomes_weights: whether the network then continues with the EMA as its weights.
    """

    decay: float | None
    becomes_weights: bool = False


def standard_step(step: int, decay: float) -> EmaStep:
    """Return a decay that rises from 0 to `decay`, so that the first weights soon have no influence. step: from 1."""
    return EmaStep(decay * (1 - math.exp(-step / WARM_UP)))


def darknet_step(step: int, alpha: float, max_batches: int) -> EmaStep:
    """Average from half of the steps until 1000 steps are left (AlexeyAB network.c train_network_waitkey).

    The EMA starts with the weights at that time. Runs of fewer than 2000 steps have none.
    """
    first, last = max_batches // 2, max_batches - DARKNET_LAST_STEPS
    if not first <= step <= last:
        return EmaStep(decay=None)
    decay = 0.0 if step == first else alpha if step < last else None
    return EmaStep(decay, becomes_weights=step == last)


class WeightEma:
    """The EMA of some of a network's floating-point tensors, by name. It starts as a copy of the network's.

    Args:
        network: the network that is trained.
        choose: returns the tensors of a network in the EMA, by name.
        step_of: returns what happens after an update, by its number.
        replaces_weights: whether the EMA is scored and saved as .weights in place of the weights.
    """

    def __init__(
        self,
        network: Network,
        choose: Callable[[Network], Mapping[str, Tensor]],
        step_of: Callable[[int], EmaStep],
        replaces_weights: bool,
    ) -> None:
        self.choose = choose
        self.step_of = step_of
        self.replaces_weights = replaces_weights
        self.tensors = {name: tensor.detach().clone() for name, tensor in choose(network).items()}

    @torch.no_grad()
    def restart(self, network: Network) -> None:
        """Start again from the network's current weights, for example after weights were loaded into it."""
        torch._foreach_copy_(list(self.tensors.values()), list(self.choose(network).values()))

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Add the network's weights after update number `step`."""
        ema_step = self.step_of(step)
        if ema_step.decay is None and not ema_step.becomes_weights:
            return
        values, weights = list(self.tensors.values()), list(self.choose(network).values())
        if ema_step.decay is not None:
            torch._foreach_lerp_(values, weights, 1 - ema_step.decay)
        if ema_step.becomes_weights:
            torch._foreach_copy_(weights, values)

    @contextmanager
    def applied(self, network: Network) -> Iterator[None]:
        """Give the network the EMA as its weights within this context, if it replaces them; then restore its own."""
        if not self.replaces_weights:
            yield
            return
        weights = list(self.choose(network).values())
        own = [tensor.detach().clone() for tensor in weights]
        with torch.no_grad():
            torch._foreach_copy_(weights, list(self.tensors.values()))
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(weights, own)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the EMA by name."""
        return dict(self.tensors)

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the EMA of another run. Raises ValueError, changing nothing, for other names or shapes."""
        expected = {name: tensor.shape for name, tensor in self.tensors.items()}
        found = {name: tensor.shape for name, tensor in state.items()}
        if expected != found:
            different = sorted(expected.items() ^ found.items())[0][0]
            raise ValueError(
                f"found an EMA with {different} of shape {found.get(different)}, expected {expected.get(different)}"
            )
        for name, tensor in self.tensors.items():
            tensor.copy_(state[name])


def standard_ema(network: Network, decay: float = EMA_DECAY) -> WeightEma:
    """Return the EMA of all parameters and stored statistics. It is scored and saved in place of the weights."""
    step_of = partial(standard_step, decay=decay)
    return WeightEma(network, all_tensors, step_of, replaces_weights=True)


def darknet_ema(network: Network, alpha: float, max_batches: int) -> WeightEma:
    """Return the EMA of [net] ema_alpha, which becomes the weights near the end.

    As in AlexeyAB's network.c ema_update and ema_apply, it averages weights, biases and scales of convolutions.
    Statistics are not averaged: in the last steps they adapt to the new weights, which are trained further.
    """
    step_of = partial(darknet_step, alpha=alpha, max_batches=max_batches)
    return WeightEma(network, convolution_parameters, step_of, replaces_weights=False)


def all_tensors(network: Network) -> dict[str, Tensor]:
    """Return parameters and statistics by name, each once."""
    return {
        **dict(network.named_parameters()),
        **{name: buffer for name, buffer in network.named_buffers() if buffer.is_floating_point()},
    }


def convolution_parameters(network: Network) -> dict[str, Tensor]:
    """Return weights, biases and scales of the [convolutional] sections by name, each once."""
    return {
        name: parameter
        for name, parameter in network.named_parameters()
        if network.kinds[int(name.split(".")[1])] in CONVOLUTIONS
    }
