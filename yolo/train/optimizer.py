"""What of a network learns, how fast and by which rule.

Sources: AlexeyAB network_kernels.cu update_network_gpu and backward_network_gpu, convolutional_kernels.cu
update_convolutional_layer_gpu, blas_kernels.cu adam_update_gpu and adam_kernel, parser.c set_train_only_bn.
"""

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
    """Darknet's SGD, or with [net] adam=1 its Adam, over all parameters that learn at one step or another.

    freeze: layers below it do not change at all: neither parameters nor stored statistics;
    backbone, backbone_lr: layers below `backbone` learn at `backbone_lr` times the rate.
    The groups are in the order of the layers and have a key "scale", the factor that `set_rate` uses.

    SGD decays weights, which have several axes, not biases and scales. Adam decays all, by way of the gradient, and is
    torch's: Darknet's takes gradients summed over the batch, on which only the size of eps depends. Two things differ
    where a run begins late: AlexeyAB corrects the bias of the means by the iteration, this and pjreddie's by the
    updates done; and AlexeyAB has no Adam in its CPU build, and none for [local], [batchnorm] and [shortcut].

    Raises CfgError where nothing is left to learn.
    """
    network.frozen = max(network.frozen, freeze)
    network.stopped = _stopped_at(network, step=None)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    rows = zip(network.controls, learning_layers(network), own_parameters(network), strict=True)
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
    decayed_all = settings.adam is not None
    return _optimizer(
        settings,
        [
            {
                "params": parameters,
                "scale": scale,
                "weight_decay": settings.decay if weights or decayed_all else 0.0,
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
    """Set the learning rate of all groups, each times its scale; returns `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    return rate


def set_step(network: Network, step: int, last_step: int) -> None:
    """Tell the layers that change while a network learns that update number `step`, from 1, is to come.

    These are dropped blocks, and layers with stopbackward above 1, dont_update or burnin_update. What waits is not
    touched: Darknet still decays what gets no gradient, and adds up the gradients of dont_update and burnin_update
    for its first update, which then is as large as all that were left out.
    """
    for layer in network.layers:
        if isinstance(layer, DropBlock):
            layer.progress = step / last_step
    if not changes_with_time(network):
        return
    network.stopped = _stopped_at(network, step)
    burn_in = network.training_settings.schedule.burn_in
    rows = zip(network.controls, learning_layers(network), own_parameters(network), strict=True)
    for controls, learns, parameters in rows:
        for parameter in parameters:
            parameter.requires_grad_(learns and not is_held(controls, step, burn_in))


def changes_with_time(network: Network) -> bool:
    """Whether which layers learn depends on the step: then not every parameter has a gradient at every step."""
    return any(
        layer.stopbackward > 1 or layer.dont_update or layer.burnin_update
        for layer in network.controls
    )


def is_held(controls: LayerControls, step: int, burn_in: int) -> bool:
    """Whether a layer's parameters stay as they are at update number `step` (update_network_gpu)."""
    return step <= controls.dont_update or step < controls.burnin_update * burn_in


def learning_layers(network: Network) -> list[bool]:
    """For each layer, whether its parameters learn at one step or another."""
    stopped = _stopped_at(network, step=None)
    # said of a layer it holds for all before it (set_train_only_bn); it leaves statistics to move, nothing else
    only_statistics = max(
        (index for index, layer in enumerate(network.controls) if layer.train_only_bn), default=-1
    )
    return [
        index >= stopped and index > only_statistics and not layer.onlyforward
        for index, layer in enumerate(network.controls)
    ]


def own_parameters(network: Network) -> list[list[nn.Parameter]]:
    """Each layer's parameters; those that a later layer shares (share_index) are of the layer that stores them."""
    seen: set[nn.Parameter] = set()
    rows = []
    for layer in network.layers:
        rows.append([parameter for parameter in layer.parameters() if parameter not in seen])
        seen.update(rows[-1])
    return rows


def _stopped_at(network: Network, step: int | None) -> int:
    """The layers below this one get no gradient at a step; None: at any step."""
    stops = [
        index + 1
        for index, layer in enumerate(network.controls)
        if layer.stopbackward == 1 or (step is not None and step <= layer.stopbackward)
    ]
    return max([network.frozen, *stops])
