"""Writing the miniature models' weights and configurations."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers import PreTrainedModel

from reset_tuning.files import atomic_path
from reset_tuning.mini.tokenizer import READABLE_BY_ALL


def save_model(
    model: PreTrainedModel, model_file: Path, config_file: Path, dtype: torch.dtype
) -> None:
    """Write weights of the given type as safetensors beside their configuration."""
    with TemporaryDirectory() as folder:
        model.to(dtype).save_pretrained(folder)
        for target in (model_file, config_file):
            with atomic_path(target) as temporary:
                temporary.write_bytes((Path(folder) / target.name).read_bytes())
                temporary.chmod(READABLE_BY_ALL)
