"""The two generation jobs: greedy outputs on test sets, and the rejection-sampling pool."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from reset_tuning.data.prompts import FittedPrompt, fitted_prompts
from reset_tuning.errors import InputError
from reset_tuning.journal import Sidecar
from reset_tuning.sampling.backend import Backend
from reset_tuning.sampling.decodings import draws_of
from reset_tuning.sampling.outputs import Prompt, generate_rows
from reset_tuning.sampling.pool import pool_examples
from reset_tuning.sampling.sidecar import model_identity
from reset_tuning.tables import read_table, write_table

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


@dataclass(frozen=True)
class GenerationJob:
    """One checkpoint under one decoding, and how the model is run."""

    run: str
    seed: int
    checkpoint: str
    decoding: str
    spec: Mapping[str, Any]
    model: Sequence[Path]
    model_path: str
    dtype: str
    attention: str
    max_length: int
    batch_tokens: int
    sidecar: Path
    threads: int


def generation_job(
    *, sidecar: str | Path, model: Path | Sequence[Path] = (), **values: Any
) -> GenerationJob:
    """Return the job of a rule's arguments, which are the fields of GenerationJob by name.

    `model` are a local model's files; a model of a hub has none.
    """
    files = [model] if isinstance(model, Path) else list(model)
    return GenerationJob(sidecar=Path(sidecar), model=files, **values)


def generate_outputs(
    job: GenerationJob,
    examples: Sequence[Path],
    template: Mapping[str, str],
    tasks: Mapping[str, str],
    generations: Path,
) -> None:
    """Write the outputs for the examples of all test sets as a generation table.

    Prompts are rendered here and their contexts cut to leave room for `max_new_tokens`; one that
    does not fit without its context gets an empty output that ended by `length`. How many were cut
    and by how many tokens in all is logged and stands in the file's metadata.
    """
    tokenizer = load_tokenizer(job.model_path)
    rows = [row for path in examples for row in _records(read_table(path, "example"))]
    limit = job.max_length - int(job.spec["max_new_tokens"])
    fitted = fitted_prompts(rows, template, tasks, tokenizer, [limit] * len(rows))
    texts = [prompt.text if prompt else None for prompt in fitted]
    prompts = _prompts(job, rows, texts, tokenizer)
    _write(job, prompts, tokenizer, generations, _context_cuts(fitted))


def sample_outputs(job: GenerationJob, pool: Path, samples: Path) -> None:
    """Write the outputs for a random part of a mixture's training examples.

    A training prompt was fitted together with its response, so the longest leave less room than
    `max_new_tokens`: then the limit is the room left beside the EOS that training appends, which is
    at least the length of the response.
    """
    tokenizer = load_tokenizer(job.model_path)
    mixture = read_table(pool, "mixture")
    rows = _records(pool_examples(mixture, int(job.spec["examples_per_set"]), job.seed))
    texts = [row["prompt"] for row in rows]
    _write(job, _prompts(job, rows, texts, tokenizer, n_appended=1), tokenizer, samples)


def load_tokenizer(model_path: str) -> "Tokenizer":
    """Load the tokenizer of a checkpoint folder or a hub model; raise InputError without one."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model_path)
    except (OSError, ValueError) as error:
        raise InputError(f"the tokenizer of {model_path} cannot be loaded: {error}") from error
    if tokenizer.bos_token_id is None:
        raise InputError(
            f"the tokenizer of {model_path} has no BOS token, which starts every prompt"
        )
    return tokenizer


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return frame.to_dict("records")


def _prompts(
    job: GenerationJob,
    rows: Sequence[Mapping[str, Any]],
    texts: Sequence[str | None],
    tokenizer: "Tokenizer",
    n_appended: int = 0,
) -> list[Prompt]:
    """Tokenise prompts as in training (BOS, then the text) and enumerate their draws.

    `n_appended` tokens are kept free for what is put after an output when it is trained on.
    """
    if not rows:
        raise InputError(f"there are no examples to generate for ({job.run}, {job.decoding})")
    encoded = tokenizer([text or "" for text in texts], add_special_tokens=False)["input_ids"]
    prompts = []
    for row, text, ids in zip(rows, texts, encoded, strict=True):
        room = job.max_length - len(ids) - 1 - n_appended if text is not None else 0
        limit = max(0, min(int(job.spec["max_new_tokens"]), room))
        draws = draws_of(job.spec, job.seed, row["example_id"])
        ids = (tokenizer.bos_token_id, *ids)
        prompts.append(Prompt(row["example_id"], row["dataset"], text or "", ids, draws, limit))
    return prompts


def _context_cuts(fitted: Sequence[FittedPrompt | None]) -> dict[str, str]:
    """Count and log the prompts whose context was cut, and the tokens cut of all, as metadata."""
    cuts = [prompt.n_context_tokens_cut for prompt in fitted if prompt]
    n_cut = sum(cut > 0 for cut in cuts)
    logging.info("%d of %d prompts were cut, by %d context tokens", n_cut, len(fitted), sum(cuts))
    return {"prompts_cut": str(n_cut), "context_tokens_cut": str(sum(cuts))}


def _write(
    job: GenerationJob,
    prompts: Sequence[Prompt],
    tokenizer: "Tokenizer",
    path: Path,
    counts: Mapping[str, str] | None = None,
) -> None:
    """Generate and write the table; model, decoding and `counts` go into the file's metadata."""
    identity = model_identity(job.model, job.model_path, job.dtype, job.attention)
    with Sidecar(job.sidecar / identity) as sidecar:
        frame = generate_rows(prompts, sidecar, lambda: _backend(job, tokenizer))
    frame = frame.assign(
        run=job.run, seed=job.seed, checkpoint=job.checkpoint, decoding=job.decoding
    )
    metadata = {"model": identity, "decoding": json.dumps(dict(job.spec), sort_keys=True)}
    write_table(frame, path, "generation", metadata | dict(counts or {}))


def _backend(job: GenerationJob, tokenizer: "Tokenizer") -> Backend:
    # Here and not above: a job whose outputs are all known loads neither torch nor the weights.
    from reset_tuning.sampling.transformers_backend import TransformersBackend

    return TransformersBackend.load(
        job.model_path,
        tokenizer,
        dtype=job.dtype,
        attention=job.attention,
        batch_tokens=job.batch_tokens,
        threads=job.threads,
    )
