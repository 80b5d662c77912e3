"""The process group of a training and the DeepSpeed ZeRO-3 configuration that fits it.

On GPUs accelerate starts NCCL by itself. On CPUs it knows no DeepSpeed, so a configured gloo state
is handed to it: the same partitioning, gathering and saving then run without a GPU.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from reset_tuning.errors import InputError

_REPOSITORY = Path(__file__).resolve().parents[3]

# A model of at most this many parameters (256 MB in fp32) is kept whole on every rank: splitting
# it saves nothing, while fetching each matrix anew doubles the time of a small step.
WHOLE_MODEL_PARAMETERS = 64_000_000


@contextmanager
def process_group(*, with_deepspeed: bool = True) -> Iterator[dict[str, Any]]:
    """Run a block inside the job's process group and yield the Trainer's accelerator arguments.

    The group is destroyed at the end: without that a rank may abort after all its work is done.
    """
    yield {} if torch.cuda.is_available() or not with_deepspeed else _start_on_cpu()
    # Only after success: a barrier in a failing rank would wait for ranks that never come.
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def _start_on_cpu() -> dict[str, Any]:
    """Start gloo and tell accelerate that DeepSpeed runs on CPUs."""
    import deepspeed
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    # Compiling this C++ helper takes a minute and a compiler; gloo gives the same results.
    compatible = getattr(deepspeed.ops, "__compatible_ops__", None)
    if isinstance(compatible, dict):
        compatible["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="gloo", auto_mpi_discovery=False, verbose=False)
    state = PartialState(cpu=True)
    state.distributed_type = DistributedType.DEEPSPEED
    return {"use_configured_state": True}


def largest(value: int, device: torch.device) -> int:
    """Return the largest value of all ranks (all must call)."""
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return value
    tensor = torch.tensor(value, device=device)
    torch.distributed.all_reduce(tensor, op=torch.distributed.ReduceOp.MAX)
    return int(tensor.item())


def gather_lists(own: list[int]) -> list[int]:
    """Return the items of all ranks' lists, sorted (all must call)."""
    if not torch.distributed.is_initialized():
        return sorted(own)
    lists: list[list[int]] = [[]] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(lists, own)
    return sorted(item for part in lists for item in part)


@dataclass(frozen=True)
class ModelShape:
    """What the DeepSpeed configuration needs to know of a model before it is loaded."""

    n_parameters: int
    layer_classes: tuple[str, ...]


def model_shape(config: PretrainedConfig) -> ModelShape:
    """Return a model's shape without allocating its parameters."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return ModelShape(model.num_parameters(), tuple(sorted(model._no_split_modules or ())))


def deepspeed_config(path: Path, *, shape: ModelShape, on_gpu: bool) -> dict[str, Any]:
    """Return the DeepSpeed configuration of `path`, fitted to the model's size and the device.

    Only ZeRO stage 3 is accepted, as in the paper. Values that the file sets stay as they are.
    Raises InputError when the file is missing, malformed or of another stage.
    """
    config = _read_config(path)
    zero = config["zero_optimization"]
    if shape.n_parameters <= WHOLE_MODEL_PARAMETERS:
        config["zero_optimization"] = zero = _for_whole_model(shape) | {
            key: value for key, value in zero.items() if value != "auto"
        }
    if not on_gpu:
        zero["overlap_comm"] = False  # there are no streams to overlap on
    return config


def _for_whole_model(shape: ModelShape) -> dict[str, Any]:
    """Return ZeRO-3 settings under which parameters stay gathered and hooks stay few.

    The gradients and the optimiser's state are partitioned all the same.
    """
    whole: dict[str, Any] = {
        "reduce_bucket_size": shape.n_parameters,
        "stage3_prefetch_bucket_size": shape.n_parameters,
        "stage3_param_persistence_threshold": shape.n_parameters,
        "memory_efficient_linear": False,
    }
    if shape.layer_classes:
        whole["leaf_module"] = {"classes": list(shape.layer_classes)}
    return whole


def _read_config(path: Path) -> dict[str, Any]:
    """Read a DeepSpeed file given relative to the working directory or to the repository."""
    found = next((p for p in (path, _REPOSITORY / path) if p.is_file()), None)
    if found is None:
        raise InputError(f"training.deepspeed names {path}, which does not exist")
    try:
        config = json.loads(found.read_text())
    except json.JSONDecodeError as error:
        raise InputError(f"{found} is not valid JSON: {error}") from error
    if config.get("zero_optimization", {}).get("stage") != 3:
        raise InputError(f"{found} must set zero_optimization.stage to 3")
    return config
