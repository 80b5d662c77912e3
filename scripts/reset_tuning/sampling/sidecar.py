"""What a model has already generated, kept beside the results: <sidecar>/<model>/*.jsonl.

An output is known by everything it depends on: the model (its folder), the prompt, the setting and
the limit of new tokens. So identical weights are evaluated once, a killed job goes on where it
stopped, a new test set costs its own rows only, and ReSet-S takes ReSet's draws,
also while ReSet's job is at work, but for those of the window of prompts that both have begun.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reset_tuning.files import describe_model
from reset_tuning.sampling.backend import Setting

# Raise it when the same model, prompt and setting would draw another output than before, or when
# what is stored of an output changes.
_FORMAT = "2"


def text_digest(text: str) -> str:
    """Return what stands for a prompt in the keys of its outputs."""
    return hashlib.sha256(text.encode()).hexdigest()


def output_key(prompt_digest: str, setting: Setting, max_new_tokens: int) -> str:
    """Return the key of an output: a digest of the prompt's text and of how it is continued."""
    drawn = (float(setting.temperature), setting.top_k, setting.seed)
    parts = json.dumps([prompt_digest, *drawn, max_new_tokens])
    return hashlib.sha256(parts.encode()).hexdigest()


def model_identity(
    files: Iterable[Path],
    model_path: str,
    dtype: str,
    attention: str,
    backend: Mapping[str, Any] | None = None,
) -> str:
    """Return 32 hexadecimal digits that name a model by what it computes, not by where it lies.

    `files` are a checkpoint's files; those of the folder `model_path` count as well, and of a hub
    model the commit. Weights, configuration, tokenizer, dtype, attention and the backend's settings
    count.
    """
    engine = json.dumps(backend or {}, sort_keys=True)
    parts = [_FORMAT, *describe_model(files, model_path), dtype, attention, engine]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
