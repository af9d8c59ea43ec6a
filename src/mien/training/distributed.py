"""Several processes that train one network: each computes a part of every batch (data parallelism).

Every process holds all faces and makes the whole batch, as one process would, then takes its part of it. So the batches
do not depend on the number of processes. Gradients are averaged by torch's DistributedDataParallel, through
lightning-fabric; batch norms measure the whole batch (:mod:`mien.training.synchronised_norm`).
"""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed

from mien.training import checkpoint
from mien.training.batches import Batch
from mien.training.state import TrainingState


def part_of_process(count: int, fabric: Fabric) -> slice:
    """The places of this process among ``count``: contiguous, none twice, none left out."""
    rank, size = fabric.global_rank, fabric.world_size
    return slice(count * rank // size, count * (rank + 1) // size)


def part_of_batch(batch: Batch, fabric: Fabric) -> tuple[Batch, float]:
    """The part of a batch for this process, and the factor of its loss: the mean over processes is then the batch's."""
    count = len(batch.chosen)
    if fabric.world_size == 1:
        return batch, 1.0
    part = part_of_process(count, fabric)
    return batch.part(part), (part.stop - part.start) * fabric.world_size / count


def any_process(fabric: Fabric, flag: bool) -> bool:
    """Whether the flag is set in any process. All of them have to ask."""
    if fabric.world_size == 1:
        return flag
    return bool(_sum(fabric, torch.tensor(float(flag), device=fabric.device)) > 0)


def sum_of_processes(fabric: Fabric, value: Tensor) -> Tensor:
    """The sum over all processes, each of which has to ask; on the value's own device."""
    return value if fabric.world_size == 1 else _sum(fabric, value.to(fabric.device)).to(value.device)


def _sum(fabric: Fabric, value: Tensor) -> Tensor:
    total: Any = fabric.all_reduce(value.clone(), reduce_op="sum")
    return torch.as_tensor(total)


def share_state(state: TrainingState) -> None:
    """Give all processes the first one's weights, average, optimizer state, loss scale and history."""
    if state.fabric.world_size == 1:
        return
    optimizer = checkpoint.optimizer_tensors(state.optimizer)
    precision = state.fabric.strategy.precision
    scaler = precision.state_dict()
    content = (state.network.state_dict(), state.average.tensors, optimizer, scaler, state.history)
    # Between processes of one run, which trust each other; no file is unpickled.
    weights, average, optimizer, scaler, history = state.fabric.broadcast(content)
    if state.fabric.global_rank:
        state.network.load_state_dict(weights)
        state.average.restore(average)
        if optimizer:
            checkpoint.restore_optimizer(state.optimizer, optimizer)
        precision.load_state_dict(scaler)
        state.history = history


def leave() -> None:
    """Leave the processes that train together, when all are done."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
