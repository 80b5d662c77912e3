"""The tokenizer of a model, for those who count, cut and encode texts."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from reset_tuning.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Tokenizers that are what their tokenizer.json says, without code of a model's own.
_GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")


def load_tokenizer(source: str) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a folder or a hub model; raise InputError without one.

    A generic one is loaded by its class: asking AutoTokenizer for it imports torch as well, which
    is most of the time of a job that only counts tokens.
    """
    if _is_generic(Path(source)):
        from transformers import PreTrainedTokenizerFast as Tokenizer
    else:
        from transformers import AutoTokenizer as Tokenizer
    try:
        return Tokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"the tokenizer of {source} cannot be loaded: {reason}") from error


def _is_generic(folder: Path) -> bool:
    """Tell whether AutoTokenizer would choose the generic class.

    It replaces that class by their own for models whose files are known to name the wrong one.
    """
    try:
        model = json.loads((folder / "config.json").read_text())
        config = json.loads((folder / "tokenizer_config.json").read_text())
    except (OSError, ValueError):
        return False
    is_plain = "auto_map" not in config and model.get("model_type") == "llama"
    return is_plain and config.get("tokenizer_class") in _GENERIC
