"""From prompts and their draws to the rows of the generation table."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from reset_tuning.journal import Sidecar
from reset_tuning.sampling.backend import (
    LENGTH,
    BackendFactory,
    Completed,
    Completion,
    Request,
    Setting,
)
from reset_tuning.sampling.decodings import Draw
from reset_tuning.sampling.progress import Progress
from reset_tuning.sampling.sidecar import output_key

# A prompt that leaves no room for an answer is a row all the same: nothing is lost silently.
_NO_ROOM = Completion("", 0, LENGTH)


@dataclass(frozen=True)
class Prompt:
    """An example's prompt, its token ids (BOS included), and the draws to make of it.

    `max_new_tokens` is what both the decoding and the context allow; 0 when the prompt is too long.
    """

    example_id: str
    dataset: str
    text: str
    ids: tuple[int, ...]
    draws: tuple[Draw, ...]
    max_new_tokens: int


def generate_rows(
    prompts: Sequence[Prompt], sidecar: Sidecar, backend: BackendFactory
) -> pd.DataFrame:
    """Return the outputs of all draws, equal ones of an example as one row with its multiplicity.

    Columns are those of the generation table except run, seed, checkpoint and decoding. What the
    sidecar knows is not generated again; the backend is made only when something is missing.
    """
    too_long = sum(prompt.max_new_tokens < 1 for prompt in prompts)
    if too_long:
        logging.warning("%d of %d prompts leave no room: empty outputs", too_long, len(prompts))
    _complete(prompts, sidecar, backend)
    rows = [row for prompt in prompts for row in _rows(prompt, sidecar)]
    logging.info("%d prompts have %d different outputs", len(prompts), len(rows))
    return pd.DataFrame(rows)


def collapse(drawn: Iterable[tuple[Draw, Completion]]) -> list[tuple[Draw, Completion, int]]:
    """Return the different outputs of one example, each with its first draw and multiplicity.

    Equal texts get equal scores, so they are judged once; the multiplicities sum to the draws.
    """
    first: dict[str, tuple[Draw, Completion]] = {}
    multiplicity: dict[str, int] = {}
    for draw, completion in sorted(drawn, key=lambda pair: pair[0].sample_id):
        first.setdefault(completion.output, (draw, completion))
        multiplicity[completion.output] = multiplicity.get(completion.output, 0) + 1
    return [(*pair, multiplicity[output]) for output, pair in first.items()]


def _complete(prompts: Sequence[Prompt], sidecar: Sidecar, backend: BackendFactory) -> None:
    """Generate what the sidecar lacks and put it there, batch by batch."""
    missing = _missing(prompts, sidecar)
    total = sum(len(request.settings) for _, request in missing)
    draws = sum(len(prompt.draws) for prompt in prompts)
    logging.info("%d outputs to generate for %d draws; the others are known", total, draws)
    if not missing:
        return
    progress = Progress(total)
    for completed in backend().generate([request for _, request in missing]):
        sidecar.add(_keyed(missing, completed))
        outputs = [output for _, completions in completed for output in completions]
        progress.advance(len(outputs), sum(output.n_tokens for output in outputs))
    progress.finish()


def _missing(prompts: Sequence[Prompt], sidecar: Sidecar) -> list[tuple[str, Request]]:
    """Return prompt texts and requests for what is still to be decoded; equal prompts are one."""
    settings: dict[tuple[str, tuple[int, ...], int], dict[Setting, None]] = {}
    for prompt in prompts:
        for setting in (draw.setting for draw in prompt.draws if prompt.max_new_tokens > 0):
            if sidecar.get(output_key(prompt.text, setting, prompt.max_new_tokens)) is None:
                same = (prompt.text, prompt.ids, prompt.max_new_tokens)
                settings.setdefault(same, {})[setting] = None
    return [
        (text, Request(ids, tuple(wanted), limit))
        for (text, ids, limit), wanted in settings.items()
    ]


def _keyed(
    missing: Sequence[tuple[str, Request]], completed: Iterable[Completed]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, completions in completed:
        text, request = missing[index]
        for setting, completion in zip(request.settings, completions, strict=True):
            yield output_key(text, setting, request.max_new_tokens), asdict(completion)


def _rows(prompt: Prompt, sidecar: Sidecar) -> list[dict[str, object]]:
    drawn = [(draw, _completion(prompt, draw, sidecar)) for draw in prompt.draws]
    return [
        {
            "example_id": prompt.example_id,
            "sample_id": draw.sample_id,
            "dataset": prompt.dataset,
            "arm": draw.arm,
            "round": draw.round,
            "temperature": draw.temperature,
            "top_k": draw.top_k,
            "sampling_seed": draw.sampling_seed,
            "multiplicity": multiplicity,
            "output": completion.output,
            "n_tokens": completion.n_tokens,
            "finish_reason": completion.finish_reason,
        }
        for draw, completion, multiplicity in collapse(drawn)
    ]


def _completion(prompt: Prompt, draw: Draw, sidecar: Sidecar) -> Completion:
    if prompt.max_new_tokens < 1:
        return _NO_ROOM
    known = sidecar.get(output_key(prompt.text, draw.setting, prompt.max_new_tokens))
    assert known is not None, "the backend left out a request"
    return Completion(**known)
