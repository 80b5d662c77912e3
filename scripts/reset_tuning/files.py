"""Small file helpers: atomic and lasting writes, digests, and what tells one model from another."""

import errno
import gzip
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from reset_tuning.errors import InputError

# libyaml's, where PyYAML was built with it: ten times as fast.
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CHUNK = 1 << 20
_HUB_ID = re.compile(r"(\w[\w.-]*/)?\w[\w.-]*")
# Weights, configuration and tokenizer: what transformers and vLLM read of a model's folder.
_BESIDE_WEIGHTS = (".json", ".model", ".txt")
_OF_A_MODEL = (".safetensors", ".bin", *_BESIDE_WEIGHTS)
# Weights as transformers looks for them, whole or in parts: the first kind that is there is loaded.
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it only if the block succeeds.

    A job that dies halfway leaves no half-written output and the previous file untouched. The name
    is no other process's: a job that its cluster lost sight of may still write the same file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def work_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside a file that is to be written; it goes when the block ends.

    The folder is no other process's, as the name of `atomic_path` is: a job that ends late must
    not remove what its successor works with.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(
        dir=path.parent, prefix=f".{path.stem}-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def flush(*paths: Path) -> None:
    """Wait until files, and the names in directories, would outlive a machine that stops."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some file servers refuse directories
                raise
        finally:
            os.close(descriptor)


def flush_tree(path: Path) -> None:
    """Flush a file, or a directory with all that lies below it."""
    flush(*path.rglob("*"), path)


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def read_text(path: Path) -> str:
    """Return the text of a plain or gzip file."""
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file; raise InputError for one that YAML's rules do not allow.

    They do not allow a key twice in one mapping, of which PyYAML takes the last without a word.
    """
    try:
        loader = YAML_LOADER(path.read_text(encoding="utf-8"))
        try:
            node = loader.get_single_node()
            _refuse_repeated_keys(node)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line} is not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is not valid YAML: {reason}") from error


def _refuse_repeated_keys(node: yaml.Node | None) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item)
    if isinstance(node, yaml.MappingNode):
        known: set[tuple[str, str]] = set()
        for key, value in node.value:
            name = (key.tag, str(key.value))
            if isinstance(key, yaml.ScalarNode) and name in known and key.value != "<<":
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} stands twice; join what stands under the two",
                    problem_mark=key.start_mark,
                )
            known.add(name)
            _refuse_repeated_keys(value)


def weight_files(folder: Path) -> list[Path]:
    """Return the files with the weights of a model's folder; none of a folder that has none."""
    kinds = (sorted(folder.glob(pattern)) for pattern in _WEIGHTS)
    return next((files for files in kinds if files), [])


def model_files_in(folder: Path) -> list[Path]:
    """Return weights, configuration and tokenizer of a folder; raise InputError without a model."""
    weights = weight_files(folder)
    if not weights or not (folder / "config.json").exists():
        found = "holds no model" if folder.is_dir() else "is no folder"
        raise InputError(
            f"{folder} {found}; expected are config.json, the tokenizer's files and "
            f"{' or '.join(_WEIGHTS)}"
        )
    return weights + sorted(path for path in folder.iterdir() if path.suffix in _BESIDE_WEIGHTS)


def is_folder(model: str) -> bool:
    """Say whether a model's name is a folder: one that is there, or that no hub could hold.

    >>> [is_folder(name) for name in ("gpt2", "lytang/MiniCheck", "resources/mini/nope", "./model")]
    [False, False, True, True]
    """
    return Path(model).is_dir() or not _HUB_ID.fullmatch(model)


def is_of_tokenizer(path: str) -> bool:
    """Say whether a file of a model is no weights, nor the list of their parts.

    >>> [is_of_tokenizer(name) for name in ("model.safetensors", "config.json")]
    [False, True]
    """
    return path.endswith(_BESIDE_WEIGHTS) and not path.endswith(".index.json")


def describe_model(files: Iterable[Path], model_path: str) -> list[str]:
    """Return "<name> <sha256>" of what a model is read from, in the order of the names.

    `files` and all others in the folder `model_path` count: transformers reads what lies there. A
    hub model is its id with the commit in this machine's cache, the id alone before it is fetched.
    """
    found = {*files, *Path(model_path).glob("*")}
    counted = [file for file in found if file.suffix in _OF_A_MODEL]
    return sorted(f"{file.name} {sha256_of(file)}" for file in counted) or [_at_hub(model_path)]


def _at_hub(model: str) -> str:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model, repo_type="model")
    ref = folder / "refs" / "main"
    return f"{model} {ref.read_text().strip()}" if ref.is_file() else model
