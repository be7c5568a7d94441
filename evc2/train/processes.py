"""What the processes of one training must know of each other: gradients, when to end, and where to meet."""

import io
import os
import socket
import subprocess
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from evc2.errors import UserError


def exchange_of_turn(state: None, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """Average a bucket of gradients over the processes; one that no parameter of this turn is in stays as it is.

    DistributedDataParallel would send the zeros of all other turns as well (Li et al. 2020, section 3.2, of parameters
    without gradient): with two turns of equal size twice as much as there is to say.
    """
    if any(p.requires_grad for p in bucket.parameters()):
        return allreduce_hook(dist.group.WORLD, bucket)
    done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done


class Agreement:
    """The largest of the numbers that the processes say, the same in all of them.

    A signal reaches the nodes of a job at different moments, but all must stop after the same step, or those that go
    on wait for ever. The exchange goes through gloo, beside the device's own queue, and its answer is taken one call
    later: no step waits for it.
    """

    def __init__(self) -> None:
        self.group = dist.new_group(backend="gloo")
        self.said: torch.Tensor | None = None
        self.work: Any = None

    def answer(self) -> int:
        """What was agreed on in the call before (0 at first)."""
        if self.work is None:
            return 0
        self.work.wait()
        self.work = None
        return int(self.said)

    def say(self, number: int) -> int:
        """Tell the others a number; return what was agreed on in the call before. All must call it equally often."""
        if found := self.answer():
            return found  # what would be told now was decided before this was known
        self.said = torch.tensor(number)
        self.work = dist.all_reduce(self.said, dist.ReduceOp.MAX, self.group, async_op=True)
        return 0

    def wait(self) -> None:
        """Wait until all processes are here."""
        dist.barrier(self.group)

    def gather(self, state: dict[str, Any]) -> list[dict[str, Any]]:
        """A state of every process, by rank: tensors, numbers, strings and containers of them."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        own = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(dist.get_world_size())]
        dist.all_gather(sizes, torch.tensor([len(own)]), self.group)
        most = int(max(sizes))
        parts = [torch.zeros(most, dtype=torch.uint8) for _ in sizes]
        dist.all_gather(parts, torch.nn.functional.pad(own, (0, most - len(own))), self.group)
        return [
            torch.load(io.BytesIO(part[: int(size)].numpy().tobytes()), weights_only=True)
            for part, size in zip(parts, sizes, strict=True)
        ]


def writes_files(rank: int | None, launcher: str | None) -> bool:
    """Whether the process is the first of its training, before the processes have met.

    Args:
        rank: --dist_rank, where it was given.
        launcher: --dist_launcher; under srun the number of the task is the rank (one task a node).
    """
    if rank is None and launcher == "slurm":
        rank = int(os.environ.get("SLURM_PROCID", "0"))
    return not rank


def started_again() -> bool:
    """Whether SLURM runs this job once more, after a failed node or because it had been told to make room."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") not in ("", "0")


def meeting_point() -> str:
    """Address of the first node of this SLURM step, where the processes meet: its name, or the address that SLURM has
    for it where the name means nothing to this machine.

    Raises:
        UserError: not in a step, or SLURM does not answer.
    """
    nodes = os.environ.get("SLURM_STEP_NODELIST")
    if not nodes:
        raise UserError("--dist_launcher slurm: expected to be started by srun (SLURM_STEP_NODELIST is not set)")
    name = _ask("scontrol", "show", "hostnames", nodes).split()[0]
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        for word in _ask("scontrol", "-o", "show", "node", name).split():
            if word.startswith("NodeAddr="):
                return word.removeprefix("NodeAddr=")
    return name


def _ask(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        more = (getattr(error, "stderr", None) or str(error)).strip()
        raise UserError(f"{' '.join(command)}: {more}; give the first node's address by --dist_master_addr") from error
