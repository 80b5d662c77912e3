"""The two generation jobs: greedy outputs on test sets, and the rejection-sampling pool."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reset_tuning.data.prompts import FittedPrompt, count_prompt_tokens, fitted_prompts
from reset_tuning.errors import InputError
from reset_tuning.files import work_folder
from reset_tuning.journal import Sidecar
from reset_tuning.reuse import count_known
from reset_tuning.sampling.backend import CONTENT_FILTER, Backend
from reset_tuning.sampling.decodings import Draw, draws_of
from reset_tuning.sampling.engines import TRANSFORMERS, Means, loaded_backend
from reset_tuning.sampling.outputs import Engine, count_outputs, generate
from reset_tuning.sampling.pool import COLUMNS, pool_examples
from reset_tuning.sampling.prompts import Prompt, count_prompts, read_prompts, write_prompts
from reset_tuning.sampling.ranks import (
    ranks_of,
    run_ranks,
    share_of,
    share_size,
    threads_of_each,
)
from reset_tuning.sampling.sidecar import model_identity
from reset_tuning.sampling.texts import encode
from reset_tuning.tables import read_parts, writing_table
from reset_tuning.tokenizing import load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

_ROWS = 1000  # rows of a table that are read and tokenised at once


@dataclass(frozen=True)
class GenerationJob:
    """One checkpoint under one decoding, and what generates.

    `backend` holds the `kind` (transformers, vllm, endpoint) and what else decides the outputs.
    """

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
    sidecar: Path
    means: Means
    backend: Mapping[str, Any] = field(default_factory=lambda: {"kind": TRANSFORMERS})

    @cached_property
    def identity(self) -> str:
        """The name of the model in the sidecar."""
        return model_identity(self.model, self.model_path, self.dtype, self.attention, self.backend)

    def draws(self, example_id: str) -> tuple[Draw, ...]:
        """Return the draws of an example."""
        return draws_of(self.spec, self.seed, example_id)


def generation_job(
    *, sidecar: str | Path, model: Path | Sequence[Path] = (), **values: Any
) -> GenerationJob:
    """Return the job of a rule's arguments; the other fields of GenerationJob are given by name.

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

    Prompts are rendered here and their contexts cut to leave room for `max_new_tokens`, even a
    passage with the answer that is too long by itself; a prompt that does not fit without its
    context gets an empty output that ended by `prompt_too_long`. How many were cut and by how many
    tokens in all is logged and stands in the file's metadata.
    """
    tokenizer = prompt_tokenizer(job.model_path)
    limit = job.max_length - int(job.spec["max_new_tokens"])
    cuts = _Cuts()

    def prompts() -> Iterator[Prompt]:
        for path in examples:
            for part in read_parts(path, "example", _ROWS):
                rows = part.to_dict("records")
                limits = [limit] * len(rows)
                fitted = fitted_prompts(rows, template, tasks, tokenizer, limits, cut_answers=True)
                cuts.count(fitted)
                texts = [prompt.text if prompt else None for prompt in fitted]
                yield from _prompts(job, rows, texts, tokenizer)

    _write(job, prompts(), tokenizer, generations, cuts)


def sample_outputs(job: GenerationJob, pool: Path, samples: Path) -> None:
    """Write the outputs for a random part of a mixture's training examples.

    A training prompt was fitted together with its response, so the longest leave less room than
    `max_new_tokens`: then the limit is the room left beside the EOS that training appends, which is
    at least the length of the response.
    """
    tokenizer = prompt_tokenizer(job.model_path)
    ids = read_parts(pool, "mixture", 50 * _ROWS, COLUMNS)
    chosen = pool_examples(ids, int(job.spec["examples_per_set"]), job.seed)

    def prompts() -> Iterator[Prompt]:
        for part in read_parts(pool, "mixture", _ROWS, [*COLUMNS, "dataset", "prompt"]):
            rows = [
                row
                for row in part[part["copy"] == 0].to_dict("records")
                if row["example_id"] in chosen[row["set"]]
            ]
            texts = [row["prompt"] for row in rows]
            yield from _prompts(job, rows, texts, tokenizer, n_appended=1)

    _write(job, prompts(), tokenizer, samples)


def prompt_tokenizer(model_path: str) -> "Tokenizer":
    """Return the tokenizer of a model; raise InputError without one, or without a BOS token."""
    tokenizer = load_tokenizer(model_path)
    if tokenizer.bos_token_id is None:
        raise InputError(
            f"the tokenizer of {model_path} has no BOS token, which starts every prompt"
        )
    return tokenizer


class _Cuts:
    """Counts the prompts whose context was cut, and the tokens cut of all."""

    def __init__(self) -> None:
        self.n_prompts = self.n_cut = self.n_tokens = 0

    def count(self, fitted: Sequence[FittedPrompt | None]) -> None:
        cuts = [prompt.n_context_tokens_cut for prompt in fitted if prompt]
        self.n_prompts += len(fitted)
        self.n_cut += sum(cut > 0 for cut in cuts)
        self.n_tokens += sum(cuts)

    def metadata(self) -> dict[str, str]:
        """Log the counts and return them as metadata of the table."""
        logging.info(
            "%d of %d prompts were cut, by %d context tokens",
            self.n_cut,
            self.n_prompts,
            self.n_tokens,
        )
        return {"prompts_cut": str(self.n_cut), "context_tokens_cut": str(self.n_tokens)}


def _prompts(
    job: GenerationJob,
    rows: Sequence[Mapping[str, Any]],
    texts: Sequence[str | None],
    tokenizer: "Tokenizer",
    n_appended: int = 0,
) -> Iterator[Prompt]:
    """Yield prompts with the number of tokens that may follow; None stands for one too long.

    `n_appended` tokens are kept free for what is put after an output when it is trained on.
    """
    lengths = count_prompt_tokens([text or "" for text in texts], tokenizer)
    for row, text, n_tokens in zip(rows, texts, lengths, strict=True):
        if text is not None and not text.strip():
            raise InputError(
                f"the prompt of example {row['example_id']} ({row['dataset']}) is empty: a model "
                "cannot be asked nothing; drop the row by a filter such as empty_instruction"
            )
        room = job.max_length - n_tokens - n_appended if text is not None else 0
        limit = max(0, min(int(job.spec["max_new_tokens"]), room))
        yield Prompt(row["example_id"], row["dataset"], text or "", limit)


def _write(
    job: GenerationJob,
    prompts: Iterable[Prompt],
    tokenizer: "Tokenizer",
    path: Path,
    cuts: _Cuts | None = None,
) -> None:
    """Generate and write the table, part by part; what was counted goes into its metadata."""
    with work_folder(path) as folder:
        n_prompts, n_too_long = write_prompts(prompts, folder)
        if not n_prompts:
            raise InputError(f"there are no examples to generate for ({job.run}, {job.decoding})")
        if n_too_long:
            logging.warning("%d of %d prompts leave no room: empty outputs", n_too_long, n_prompts)
        metadata = _metadata(job, n_too_long) | (cuts.metadata() if cuts else {})
        ranks = ranks_of(job.backend["kind"], job.means.cpu_ranks)
        known, total = _count_outputs(job, folder)
        count_known(known, total)
        if ranks > 1 and known < total:
            run_ranks(ranks, write_job(job, folder), job.means.threads)
        names = {name: getattr(job, name) for name in ("run", "seed", "checkpoint", "decoding")}
        with (
            _engine(job, tokenizer) as engine,
            writing_table(path, "generation", metadata) as table,
        ):
            n_withheld = 0
            for part in generate(read_prompts(folder), job.draws, engine, n_prompts):
                n_withheld += part.loc[
                    part["finish_reason"] == CONTENT_FILTER, "multiplicity"
                ].sum()
                table.write(part.assign(**names))
        if n_withheld:
            logging.warning("a content filter withheld %d outputs: they are empty", n_withheld)


def generate_share(job: GenerationJob, folder: Path, rank: int, ranks: int) -> None:
    """Generate every `ranks`-th prompt of a folder into the sidecar, from number `rank` on.

    The job's means are those of all its ranks together.
    """
    means = replace(job.means, threads=threads_of_each(job.means.threads, ranks))
    job = replace(job, means=means)
    share = share_of(read_prompts(folder), rank, ranks)
    with _engine(job, prompt_tokenizer(job.model_path), device=rank) as engine:
        for _ in generate(share, job.draws, engine, share_size(count_prompts(folder), rank, ranks)):
            pass


def write_job(job: GenerationJob, folder: Path) -> Path:
    """Write a job beside its prompts, for the ranks to read, and return the file."""
    path = folder / "job.json"
    path.write_text(json.dumps(asdict(job), default=str))
    return path


def read_job(path: Path) -> GenerationJob:
    """Read what `write_job` wrote."""
    values = json.loads(path.read_text())
    means = Means(**values.pop("means"))
    model = [Path(file) for file in values.pop("model")]
    return generation_job(model=model, means=means, **values)


def _count_outputs(job: GenerationJob, folder: Path) -> tuple[int, int]:
    with Sidecar(job.sidecar / job.identity) as sidecar:
        return count_outputs(read_prompts(folder), job.draws, sidecar)


def _metadata(job: GenerationJob, n_too_long: int) -> dict[str, str]:
    return {
        "model": job.identity,
        "backend": json.dumps(dict(job.backend), sort_keys=True),
        "decoding": json.dumps(dict(job.spec), sort_keys=True),
        "prompts_too_long": str(n_too_long),
    }


@contextmanager
def _engine(job: GenerationJob, tokenizer: "Tokenizer", device: int = 0) -> Iterator[Engine]:
    """Yield the job's engine; a job whose outputs are all known loads no model."""
    with Sidecar(job.sidecar / job.identity) as sidecar, ExitStack() as stack:

        def backend() -> Backend:
            return stack.enter_context(loaded_backend(job, tokenizer, device))

        yield Engine(sidecar, backend, partial(encode, tokenizer))
