"""Which layers of a network learn at a step, how fast, and by which rule.

Sources: AlexeyAB network_kernels.cu update_network_gpu and backward_network_gpu, convolutional_kernels.cu
update_convolutional_layer_gpu, blas_kernels.cu adam_update_gpu and adam_kernel, parser.c set_train_only_bn.
"""

from collections.abc import Sequence

from torch import nn
from torch.optim import SGD, Adam, Optimizer

from yolo.errors import CfgError
from yolo.model.layers.dropout import DropBlock
from yolo.model.network import Network
from yolo.settings import LayerControls, TrainingSettings


def make_optimizer(
    network: Network,
    settings: TrainingSettings,
    freeze: int = 0,
    backbone: int = 0,
    backbone_lr: float = 1.0,
) -> Optimizer:
    """Build Darknet's SGD, or with [net] adam=1 its Adam, over all parameters that learn at one step or another.

    SGD decays weights, which have several axes, but not biases and scales. Adam decays all, through the gradient, and
    is torch's: Darknet's takes gradients summed over the batch, which changes only the size of eps. Two things differ
    where a run starts late: AlexeyAB corrects the bias of the means by the iteration, this and pjreddie's by the
    updates done; and AlexeyAB has no Adam in its CPU build, and none for [local], [batchnorm] and [shortcut].

    Args:
        network: parameters that never learn get `requires_grad=False`.
        settings: momentum, decay and Adam of [net].
        freeze: the layers below this index do not change: neither parameters nor stored statistics.
        backbone: the layers below this index learn at `backbone_lr` times the rate.
        backbone_lr: factor of the learning rate.

    Returns:
        The optimizer. Its groups are in the order of the layers; their key "scale" is a factor for `set_rate`.

    Raises:
        CfgError: no layer learns.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    learning = learning_layers(network.controls, freeze)
    rows = zip(network.controls, learning, own_parameters(network), strict=True)
    for index, (controls, learns, parameters) in enumerate(rows):
        scale = controls.learning_rate * (backbone_lr if index < backbone else 1.0)
        for parameter in parameters:
            parameter.requires_grad_(learns)
            if learns:
                groups.setdefault((scale, parameter.ndim > 1), []).append(parameter)
    if not groups:
        raise CfgError(
            f"found none of {len(network.layers)} layers that learns (stopbackward, onlyforward, train_only_bn of the "
            f"cfg, the first {freeze} frozen), expected at least one"
        )
    decays_all = settings.adam is not None
    return _optimizer(
        settings,
        [
            {
                "params": parameters,
                "scale": scale,
                "weight_decay": settings.decay if weights or decays_all else 0.0,
            }
            for (scale, weights), parameters in groups.items()
        ],
    )


def _optimizer(settings: TrainingSettings, groups: list[dict]) -> Optimizer:
    if settings.adam is None:
        return SGD(groups, lr=0.0, momentum=settings.momentum)
    batch = settings.batch // settings.subdivisions * settings.subdivisions  # as Darknet divides
    adam = settings.adam
    return Adam(groups, lr=0.0, betas=(adam.beta1, adam.beta2), eps=adam.eps / batch)


def set_rate(optimizer: Optimizer, rate: float) -> float:
    """Set the learning rate of each group, `rate` times its scale. Return `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    return rate


def set_step(network: Network, step: int, last_step: int, freeze: int = 0) -> None:
    """Set what changes with time in a network: the strength of DropBlock, and which layers are trained.

    The latter are layers with stopbackward above 1, dont_update or burnin_update. A layer that waits is not changed.
    Darknet still applies weight decay to parameters without a gradient, and sums the gradients of dont_update and
    burnin_update for their first update, which is then as large as all updates that were left out.

    Args:
        network: the network.
        step: number of the update, counted from 1.
        last_step: number of the last update.
        freeze: layers below this are never trained.
    """
    for layer in network.layers:
        if isinstance(layer, DropBlock):
            layer.progress = step / last_step
    if not changes_with_time(network):
        return
    burn_in = network.training_settings.schedule.burn_in
    learning = learning_layers(network.controls, freeze)
    rows = zip(network.controls, learning, own_parameters(network), strict=True)
    for controls, learns, parameters in rows:
        for parameter in parameters:
            parameter.requires_grad_(learns and not is_held(controls, step, burn_in))


def train_mode(network: Network, freeze: int = 0) -> None:
    """Switch the network to training. Batch norms of frozen layers use and keep their stored statistics.

    A layer with stopbackward=1 freezes all layers before it, but not itself (AlexeyAB convolutional_kernels.cu).
    """
    network.train()
    stops = [index for index, layer in enumerate(network.controls) if layer.stopbackward == 1]
    for module in network.layers[: max([freeze, *stops])].modules():
        if hasattr(module, "running_mean"):
            module.eval()


def first_trainable(controls: Sequence[LayerControls], freeze: int = 0, step: int | None = None) -> int:
    """Return the index of the first layer that receives gradients at a step; None: at any step."""
    stops = [
        index + 1
        for index, layer in enumerate(controls)
        if layer.stopbackward == 1 or (step is not None and step <= layer.stopbackward)
    ]
    return max([freeze, *stops])


def changes_with_time(network: Network) -> bool:
    """Return whether the layers that learn depend on the step: then not every parameter always has a gradient."""
    return any(layer.stopbackward > 1 or layer.dont_update or layer.burnin_update for layer in network.controls)


def is_held(controls: LayerControls, step: int, burn_in: int) -> bool:
    """Return whether a layer's parameters do not change at update number `step` (update_network_gpu)."""
    return step <= controls.dont_update or step < controls.burnin_update * burn_in


def learning_layers(controls: Sequence[LayerControls], freeze: int = 0) -> list[bool]:
    """Return for each layer whether its parameters learn at one step or another."""
    first = first_trainable(controls, freeze)
    # train_only_bn of a layer holds for all layers before it, too (set_train_only_bn): only their statistics change
    only_statistics = max((index for index, layer in enumerate(controls) if layer.train_only_bn), default=-1)
    return [
        index >= first and index > only_statistics and not layer.onlyforward for index, layer in enumerate(controls)
    ]


def own_parameters(network: Network) -> list[list[nn.Parameter]]:
    """Return each layer's parameters. Parameters shared by a later layer (share_index) belong to the first one."""
    seen: set[nn.Parameter] = set()
    rows = []
    for layer in network.layers:
        rows.append([parameter for parameter in layer.parameters() if parameter not in seen])
        seen.update(rows[-1])
    return rows
