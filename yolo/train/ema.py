"""The average of the weights over the steps: the usual one, and Darknet's (ema_alpha)."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from yolo.defaults import EMA_DECAY
from yolo.model.network import Network

WARM_UP = 2000  # steps in which that share rises to 1 - 1/e of it (as in ultralytics' and timm's averages)

DARKNET_REST = 1000  # steps that are left once the average has become the weights (network.c)

CONVOLUTIONS = ("conv", "convolutional")


@dataclass(frozen=True)
class AverageStep:
    """What is done with the average after an update.

    share: of its old value, the rest is of the weights as they are now; None: it stays as it is;
    becomes_weights: whether the network then goes on with the average as its weights.
    """

    share: float | None
    becomes_weights: bool = False


def usual_step(step: int, decay: float) -> AverageStep:
    """The share rises from 0 to `decay`, so that the first weights are soon forgotten; step: from 1."""
    return AverageStep(decay * (1 - math.exp(-step / WARM_UP)))


def darknet_step(step: int, alpha: float, max_batches: int) -> AverageStep:
    """AlexeyAB's network.c train_network_waitkey: from half of the steps on, until 1000 are left.

    The average begins as the weights are then. Runs of fewer than 2000 steps have none.
    """
    first, last = max_batches // 2, max_batches - DARKNET_REST
    if not first <= step <= last:
        return AverageStep(share=None)
    share = 0.0 if step == first else alpha if step < last else None
    return AverageStep(share, becomes_weights=step == last)


class WeightAverage:
    """Averages of some of a network's tensors, by name; whole numbers have none.

    plan: what is done after each step; stands_in: whether the average is what is scored and saved as .weights.
    It begins as the network is; a run that is resumed loads the state of the one it goes on from.
    """

    def __init__(
        self,
        network: Network,
        choose: Callable[[Network], Mapping[str, Tensor]],
        plan: Callable[[int], AverageStep],
        stands_in: bool,
    ) -> None:
        self.choose = choose
        self.plan = plan
        self.stands_in = stands_in
        self.tensors = {name: tensor.detach().clone() for name, tensor in choose(network).items()}

    @torch.no_grad()
    def restart(self, network: Network) -> None:
        """Begin again as the network is now: after weights were loaded into it."""
        torch._foreach_copy_(list(self.tensors.values()), list(self.choose(network).values()))

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Take in the network as update number `step` left it, and do with the average what the plan says."""
        what = self.plan(step)
        if what.share is None and not what.becomes_weights:
            return
        averages, weights = list(self.tensors.values()), list(self.choose(network).values())
        if what.share is not None:
            torch._foreach_lerp_(averages, weights, 1 - what.share)
        if what.becomes_weights:
            torch._foreach_copy_(weights, averages)

    @contextmanager
    def applied(self, network: Network) -> Iterator[None]:
        """Within it the network has the average's numbers, where that stands in; then its own again, bit by bit."""
        if not self.stands_in:
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
        """The averages by name."""
        return dict(self.tensors)

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the averages of another run. Raises ValueError, changing nothing, for other names or shapes."""
        expected = {name: tensor.shape for name, tensor in self.tensors.items()}
        found = {name: tensor.shape for name, tensor in state.items()}
        if expected != found:
            different = sorted(expected.items() ^ found.items())[0][0]
            raise ValueError(
                f"found an average with {different} of shape {found.get(different)}, "
                f"expected {expected.get(different)}"
            )
        for name, tensor in self.tensors.items():
            tensor.copy_(state[name])


def usual_average(network: Network, decay: float = EMA_DECAY) -> WeightAverage:
    """The average of all parameters and stored statistics, which is scored and saved in their place."""
    return WeightAverage(network, all_tensors, partial(usual_step, decay=decay), stands_in=True)


def darknet_average(network: Network, alpha: float, max_batches: int) -> WeightAverage:
    """[net] ema_alpha: the average becomes the weights near the end; until then it is only kept.

    As AlexeyAB's network.c ema_update and ema_apply: of convolutions' weights, biases and scales. Statistics are not
    averaged: in the last steps they follow the new weights, and these are trained on.
    """
    plan = partial(darknet_step, alpha=alpha, max_batches=max_batches)
    return WeightAverage(network, convolutions_parameters, plan, stands_in=False)


def all_tensors(network: Network) -> dict[str, Tensor]:
    """Parameters and statistics by name, each once."""
    buffers = ((name, buffer) for name, buffer in network.named_buffers())
    return {
        **dict(network.named_parameters()),
        **{name: buffer for name, buffer in buffers if buffer.is_floating_point()},
    }


def convolutions_parameters(network: Network) -> dict[str, Tensor]:
    """Weights, biases and scales of the [convolutional] sections by name, each once."""
    return {
        name: parameter
        for name, parameter in network.named_parameters()
        if network.kinds[int(name.split(".")[1])] in CONVOLUTIONS
    }
