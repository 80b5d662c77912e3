"""How large a model is: of its files, of the plan's table, or of what its name says."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reset_tuning.errors import InputError
from reset_tuning.files import weight_files
from reset_tuning.planning.weights import check_old_format, read_header

BYTES_OF = {"bfloat16": 2, "float32": 4}
_SIZE = re.compile(r"(?:^|[-_.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?:$|[-_.])", re.IGNORECASE)
_UNKNOWN_PARAMETERS = 7e9


class ModelSizes:
    """Parameters of the models of a configuration; `known` are those of hub models by id."""

    def __init__(self, models: Mapping[str, Any], known: Mapping[str, float]) -> None:
        self._models = models
        self._known = known

    def parameters(self, model: str) -> float:
        """Return the parameters of a model of the config; raise InputError for broken files."""
        entry = self._models[model]
        if "build" in entry:
            return _built(entry["build"])
        if "path" in entry:
            return _size(Path(entry["path"]), entry["path"])
        return self._known.get(entry["hub"]) or _size(None, entry["hub"])

    def weight_bytes(self, model: str) -> float:
        """Return the bytes of one set of a model's weights as they are trained and saved."""
        return self.parameters(model) * BYTES_OF[self._models[model]["dtype"]]


def model_size(source: str) -> float:
    """Return the parameters of a folder or of a hub model, which may be in this machine's cache.

    Raises InputError for files that are broken; each file of weights is looked at.
    """
    folder = Path(source)
    return _size(folder if folder.is_dir() else cached_folder(source), source)


def _size(folder: Path | None, name: str) -> float:
    """Return the parameters of the weights in a folder, or else those that a name tells."""
    weights = weight_files(folder) if folder else []
    if weights and weights[0].suffix == ".safetensors":
        return sum(map(parameters_of, weights))
    for path in weights:
        check_old_format(path)
    if weights:
        return sum(path.stat().st_size for path in weights) / _bytes_of_values(weights[0].parent)
    return named_size(name) or _UNKNOWN_PARAMETERS


def _bytes_of_values(folder: Path) -> int:
    """Return how many bytes a model's files have for a parameter, of its configuration."""
    config = _read_config(folder)
    # float32 is what transformers leaves unsaid.
    return 4 if config.get("dtype", config.get("torch_dtype", "float32")) == "float32" else 2


def positions_of(folder: Path) -> int | None:
    """Return how many tokens a model reads, of its configuration; None where that does not say."""
    config = _read_config(folder)
    text = config.get("text_config", config)
    return text.get("max_position_embeddings", text.get("n_positions"))


def check_positions(model: str, positions: int | None, max_length: int) -> None:
    """Raise InputError for a model that reads less than a whole prompt with its response."""
    if positions and positions < max_length:
        raise InputError(
            f"{model} has {positions} positions, fewer than prompt.max_length {max_length}: lower "
            f"prompt.max_length to {positions}"
        )


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} cannot be read as the configuration of a model")
    return config


def cached_folder(identifier: str) -> Path | None:
    """Return where this machine's cache has a hub model, or None."""
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(identifier, "config.json")
    return Path(cached).parent if isinstance(cached, str) else None


def parameters_of(weights: Path) -> float:
    """Return the number of values in a safetensors file, of its header alone."""
    return float(sum(math.prod(tensor["shape"]) for tensor in read_header(weights).values()))


def named_size(name: str) -> float | None:
    """Return the parameters that a model's name tells, as 7e9 of vicuna-7b-v1.3; None without.

    Of experts (8x7B) it is their sum: more than there are, since they share their attention.
    """
    found = _SIZE.search(name.split("/")[-1])
    if found is None:
        return None
    experts, size, unit = found.groups()
    return int(experts or 1) * float(size) * (1e9 if unit.lower() == "b" else 1e6)


def _built(build: Mapping[str, int]) -> float:
    """Return the parameters of a small Llama that the experiment builds itself."""
    width = build["hidden_size"]
    return build["layers"] * 12 * width**2 + 2 * build["vocabulary"] * width
