"""How much memory training will take, said before the first step: from shapes alone, nothing is computed.

The forward pass runs on torch's meta device, which has shapes and no numbers; what autograd keeps there for the
backward pass is what it will keep. Measured on a CPU, six cfgs with 2 to 16 images of 5 to 50 boxes took 0.86 to
1.10 of what is said here, and 200 boxes an image up to 1.24.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call

from yolo.model.network import Network

# In the backward pass the gradients before and behind a layer are there beside what was kept: the largest two.
GRADIENTS_AT_ONCE = 2

LOSS_COPIES = 4  # of the raw maps in float32: decoded, their loss, its gradient

FLOAT_BYTES = 4

MEMINFO = Path("/proc/meminfo")

CGROUP = Path("/sys/fs/cgroup")  # version 2: what a container may take


@dataclass(frozen=True)
class Memory:
    """Bytes. parameters: and buffers; gradients, optimizer: of the parameters; activations: kept for the backward
    pass of one mini-batch; working: what comes and goes beside them."""

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    working: int

    @property
    def total(self) -> int:
        return self.parameters + self.to_come

    @property
    def to_come(self) -> int:
        """Without the parameters, which are there before the first step."""
        return self.gradients + self.optimizer + self.activations + self.working


def estimate(
    network: Network,
    images: int,
    size: tuple[int, int],
    copies: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Memory:
    """What a step needs with mini-batches of so many images at `size` (height, width).

    copies: numbers that the optimizer keeps a parameter, 1 for momentum, 2 for adam, one more for an average of the
    weights; dtype: of the forward pass. The network is neither changed nor moved, whatever device it is on, and no
    random number is drawn from the CPU's generator.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    weights = sum(map(_bytes, network.parameters())) + sum(map(_bytes, network.buffers()))
    gradients = sum(map(_bytes, trained))
    inputs = torch.empty(images, network.input.channels, *size, device="meta", dtype=dtype)
    was_training = network.training
    network.train()
    try:
        kept, raw = _kept(network, inputs, dtype)
    finally:
        network.train(was_training)
    working = GRADIENTS_AT_ONCE * max(kept, default=0) + LOSS_COPIES * FLOAT_BYTES * raw
    return Memory(weights, gradients, copies * gradients, sum(kept), working)


def free_bytes(device: torch.device, meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int | None:
    """What is free on a device now, of a CPU what the container may still take; None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit, used = ((cgroup / f"memory.{name}").read_text() for name in ("max", "current"))
        return min(free, max(0, int(limit) - int(used)))
    except (OSError, ValueError):  # no container, another version, or "max": no limit
        return free


def _kept(network: Network, images: Tensor, dtype: torch.dtype) -> tuple[list[int], int]:
    """The bytes of each storage that autograd keeps beside the weights, and how many numbers the raw maps have."""
    state = {
        name: value.detach().to("meta", dtype if value.is_floating_point() else value.dtype)
        for name, value in [*network.named_parameters(), *network.named_buffers()]
    }
    for name, parameter in network.named_parameters():
        state[name].requires_grad_(parameter.requires_grad)
    # Views and tensors kept twice share a storage; on the meta device storages have no address, but a handle.
    own = {value.untyped_storage()._cdata for value in state.values()}
    storages: dict[int, torch.UntypedStorage] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            storages[storage._cdata] = storage  # held, so that no other gets its handle
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    # some layers draw numbers while they train
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), hooks:
        raw = functional_call(network, state, (images,))
    return [storage.nbytes() for storage in storages.values()], sum(map_.numel() for map_ in raw)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
