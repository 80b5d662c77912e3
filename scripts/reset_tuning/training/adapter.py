"""Low-rank adapters (LoRA): few weights are trained, and what is written is an ordinary model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reset_tuning.errors import InputError
from reset_tuning.training.settings import AdapterSettings

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

_PREFIX = "base_model.model."  # what peft puts before the names of the model's own weights
_BASE = ".base_layer"


def add_adapter(model: "PreTrainedModel", adapter: AdapterSettings, seed: int) -> "PeftModel":
    """Freeze a model and put an adapter beside every linear layer but the output's.

    Raises InputError when the package peft is not installed.
    """
    import torch

    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise InputError(
            "training.adapter needs the package peft, which is not installed: pip install peft, "
            "or leave training.adapter out"
        ) from error
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules="all-linear",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the same adapters on every rank
        return get_peft_model(model, config)


def merge_adapter(
    state: Mapping[str, "torch.Tensor"], adapter: AdapterSettings
) -> dict[str, "torch.Tensor"]:
    """Return the weights of the model itself, W + alpha / rank · B A, under their own names."""
    scale, merged = adapter.alpha / adapter.rank, {}
    for name, tensor in state.items():
        if ".lora_" in name:
            continue
        layer, found, parameter = name.partition(_BASE)
        if found and parameter == ".weight":
            down, up = (state[f"{layer}.lora_{part}.default.weight"] for part in "AB")
            update = scale * (up.float() @ down.float())
            tensor = (tensor.float() + update).to(tensor.dtype)
        merged[(layer + parameter).removeprefix(_PREFIX)] = tensor
    return merged
