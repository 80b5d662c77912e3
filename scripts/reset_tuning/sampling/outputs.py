"""`generate(rows, decodings)`: from prompts to the rows of the generation table."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import pandas as pd

from reset_tuning.journal import Sidecar
from reset_tuning.sampling.backend import (
    CONTENT_FILTER,
    PROMPT_TOO_LONG,
    Backend,
    BackendFactory,
    Completed,
    Completion,
    Request,
    Setting,
)
from reset_tuning.sampling.decodings import Draw
from reset_tuning.sampling.progress import Progress
from reset_tuning.sampling.prompts import Prompt
from reset_tuning.sampling.sidecar import output_key, text_digest

# Prompts held in memory: enough that most batches hold prompts of one length.
_WINDOW = 1024

Encode = Callable[[list[str]], list[list[int]]]  # texts to token ids, BOS included


@dataclass
class Engine:
    """What answers: the sidecar's known outputs, else a backend, which is made at the first need.

    `encode` turns prompts into token ids.
    """

    sidecar: Sidecar
    backend: BackendFactory
    encode: Encode
    _made: Backend | None = field(default=None, init=False)

    def decode(self, requests: Sequence[Request]) -> Iterator[list[Completed]]:
        """Yield the requests' completions, some at a time."""
        if self._made is None:
            self._made = self.backend()
        yield from self._made.generate(requests)


def generate(
    rows: Iterable[Prompt],
    decodings: Callable[[str], Sequence[Draw]],
    engine: Engine,
    n_rows: int = 0,
    window: int = _WINDOW,
) -> Iterator[pd.DataFrame]:
    """Yield the outputs of all draws of all prompts, as parts of the generation table.

    `decodings` gives the draws of an example; equal outputs of an example are one row with its
    multiplicity and all of its settings. Columns are those of the table except run, seed,
    checkpoint and decoding. A prompt that leaves no room has one empty row that ended by
    `prompt_too_long`. What the sidecar knows is not generated again, and each finished batch is put
    there at once. `n_rows` is for the log.
    """
    progress, rows = Progress(n_rows), iter(rows)
    while prompts := list(islice(rows, window)):
        engine.sidecar.refresh()  # ReSet-S may run beside ReSet, and takes its draws
        drawn = [(prompt, decodings(prompt.example_id)) for prompt in prompts]
        outputs = _outputs(drawn, engine, progress)
        yield pd.DataFrame(
            [row for prompt, draws in drawn for row in _rows(prompt, draws, outputs)]
        )
    progress.finish()


def count_outputs(
    rows: Iterable[Prompt], decodings: Callable[[str], Sequence[Draw]], sidecar: Sidecar
) -> tuple[int, int]:
    """Return how many outputs of the prompts are known already, and how many there are to be."""
    known = [
        sidecar.get(key) is not None
        for prompt in rows
        for key in _keys(prompt, decodings(prompt.example_id))
    ]
    return sum(known), len(known)


def collapse(drawn: Iterable[tuple[Draw, Completion]]) -> list[list[tuple[Draw, Completion]]]:
    """Return the draws of one example by their output, each group in the order of sample_id.

    Equal texts get equal scores, so they are judged once, as one row that stands for the group.
    """
    groups: dict[tuple[str, bool], list[tuple[Draw, Completion]]] = {}
    for draw, completion in sorted(drawn, key=lambda pair: pair[0].sample_id):
        withheld = completion.finish_reason == CONTENT_FILTER  # no empty answer of the model
        groups.setdefault((completion.output, withheld), []).append((draw, completion))
    return list(groups.values())


def _keys(prompt: Prompt, draws: Sequence[Draw]) -> list[str]:
    """Return the sidecar's key of every draw; none when the prompt is too long."""
    if prompt.max_new_tokens < 1:
        return []
    digest = text_digest(prompt.text)
    return [output_key(digest, draw.setting, prompt.max_new_tokens) for draw in draws]


def _outputs(
    drawn: Sequence[tuple[Prompt, Sequence[Draw]]], engine: Engine, progress: Progress
) -> dict[str, Completion]:
    """Return the completions of a window by key, generating those that the sidecar lacks."""
    outputs: dict[str, Completion] = {}
    missing: dict[tuple[str, int], dict[Setting, str]] = {}
    for prompt, draws in drawn:
        for draw, key in zip(draws, _keys(prompt, draws), strict=False):
            known = None if key in outputs else engine.sidecar.get(key)
            if known is not None:
                outputs[key] = Completion(**known)
            elif key not in outputs:
                same = (prompt.text, prompt.max_new_tokens)
                missing.setdefault(same, {})[draw.setting] = key
    progress.skip(len(drawn) - len(missing))
    if missing:
        outputs |= _generated(missing, engine, progress)
    return outputs


def _generated(
    missing: dict[tuple[str, int], dict[Setting, str]], engine: Engine, progress: Progress
) -> dict[str, Completion]:
    """Have the missing outputs generated and stored, batch by batch; equal prompts are one."""
    encoded = engine.encode([text for text, _ in missing])
    requests = [
        Request(tuple(ids), tuple(settings), limit, text)
        for ids, ((text, limit), settings) in zip(encoded, missing.items(), strict=True)
    ]
    keys = [list(settings.values()) for settings in missing.values()]
    outputs: dict[str, Completion] = {}
    for completed in engine.decode(requests):
        batch = {
            key: completion
            for index, completions in completed
            for key, completion in zip(keys[index], completions, strict=True)
            if completion is not None
        }
        engine.sidecar.add((key, asdict(completion)) for key, completion in batch.items())
        outputs |= batch
        n_tokens = sum(completion.n_tokens for completion in batch.values())
        progress.advance(len(completed), len(batch), n_tokens)
    return outputs


def _rows(
    prompt: Prompt, draws: Sequence[Draw], outputs: dict[str, Completion]
) -> list[dict[str, Any]]:
    keys = _keys(prompt, draws)
    # Nothing is lost silently: a prompt without room for an answer is a row all the same.
    completions = [outputs[key] for key in keys] or [
        Completion("", 0, PROMPT_TOO_LONG, draw.temperature, draw.top_k) for draw in draws
    ]
    return [_row(prompt, same) for same in collapse(zip(draws, completions, strict=True))]


def _row(prompt: Prompt, same: Sequence[tuple[Draw, Completion]]) -> dict[str, Any]:
    """Return the row of draws with one output: the first of them, and the settings of all."""
    draw, completion = same[0]
    return {
        "example_id": prompt.example_id,
        "sample_id": draw.sample_id,
        "dataset": prompt.dataset,
        "arm": draw.arm,
        "round": draw.round,
        "temperature": completion.temperature,
        "top_k": completion.top_k,
        "sampling_seed": draw.sampling_seed,
        "multiplicity": len(same),
        "arms": [draw.arm for draw, _ in same],
        "temperatures": [completion.temperature for _, completion in same],
        "top_ks": [completion.top_k for _, completion in same],
        "output": completion.output,
        "n_tokens": completion.n_tokens,
        "finish_reason": completion.finish_reason,
    }
