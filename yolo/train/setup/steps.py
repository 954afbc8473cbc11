"""Which images each step of a run trains on, in this process."""

from collections.abc import Sequence

from yolo.data.dataset import StepSampler
from yolo.distributed import Processes, ShardedSampler
from yolo.model.network import Network
from yolo.train.checkpoint import Progress
from yolo.train.multiscale import Stage, input_sizes


def sharded_steps(
    network: Network, images: int, batch: int, stages: Sequence[Stage], progress: Progress, processes: Processes
) -> ShardedSampler:
    """Return the draws of this process's mini-batches, of the steps after `progress`.

    Args:
        network: gives subdivisions, the last step and the input sizes.
        images: number of images of the data set.
        batch: images of a step, of all processes together.
        stages: input sizes and their first steps, in place of the cfg's.
        progress: how far the run is; its seed decides all draws.
        processes: this process and the others.
    """
    settings = network.training_settings
    mini_batch = batch // settings.subdivisions
    sampler = StepSampler(
        images=images,
        batch=batch,
        mini_batch=mini_batch,
        steps=range(progress.step + 1, settings.max_batches + 1),
        size_at=input_sizes(network, stages, progress.seed).size_at,
        seed=progress.seed,
    )
    return ShardedSampler(sampler, mini_batch, processes)
