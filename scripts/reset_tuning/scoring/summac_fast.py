"""SummaC's NLI images with every distinct pair of sentences read once.

The package pads unsorted batches and reads a pair again for every answer that holds the sentence.
Here the samples of a document share their sentences: each is tokenised once, each pair is scored
once, and pairs of like length are padded together. Splitting, the 100-sentence and 10-character
rules and the aggregation stay the package's own code, and the first pairs of every job are scored
by the package too.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from reset_tuning.errors import InputError
from reset_tuning.scoring.onnx_runtime import exported
from reset_tuning.scoring.summac_package import SummaCPackage

DTYPES = ("float32", "bfloat16", "float16")
RUNTIMES = ("torch", "onnxruntime")
# Scores are equal within 1e-6 and a single pair nearly so: rounding in float32 moves a probability
# of a steep model by a few millionths, in the package too when its batches differ.
TOLERANCE = 1e-5
_COMPARED_PAIRS = 4

Pair = tuple[str, str]
_EXAMPLE: Pair = ("one sentence", "another one that is longer")
_EMPTY_IMAGE = np.zeros((3, 1, 1))  # what the package makes of a text without sentences


@dataclass(frozen=True)
class Encoded:
    """One pair as the model reads it; `segments` are the token type ids."""

    ids: list[int]
    segments: list[int]


class SummaCFast(SummaCPackage):
    """The package with another way to its images; scores equal the package's within 1e-6."""

    def __init__(
        self,
        *,
        dtype: str = "float32",
        runtime: str = "torch",
        batch_tokens: int = 2048,
        **options: Any,
    ) -> None:
        for key, value, allowed in (("dtype", dtype, DTYPES), ("runtime", runtime, RUNTIMES)):
            if value not in allowed:
                raise InputError(f"unknown SummaC {key} {value!r}: use one of {', '.join(allowed)}")
        super().__init__(**options)
        self._imager.model.to(getattr(torch, dtype))
        self._batch_tokens = batch_tokens
        self._encoder = PairEncoder(self._imager.tokenizer, self._imager.max_input_length)
        self._logits = self._run_torch
        if runtime == "onnxruntime":
            if self._imager.device != "cpu" or dtype != "float32":
                raise InputError("SummaC's runtime onnxruntime is for CPUs and float32")
            example = self._encoder.padded(self._encoder.encode([_EXAMPLE, _EXAMPLE[::-1]]))
            self._logits = exported(self._imager.model, example, options["threads"])
        self._is_compared = False

    def images(self, pairs: list[Pair]) -> list[np.ndarray]:
        """Return the NLI image of each (document, answer) pair, as SummaCPackage does."""
        limit = self.max_document_parts
        parts = [(self.document_parts(d)[:limit], self.answer_parts(a)) for d, a in pairs]
        numbers: dict[Pair, int] = {}
        for premises, hypotheses in parts:
            for premise in premises:
                for hypothesis in hypotheses:
                    numbers.setdefault((premise, hypothesis), len(numbers))
        probabilities = self._probabilities(list(numbers))
        images = [_image(*part, numbers, probabilities) for part in parts]
        if not self._is_compared:
            self._compare(pairs[:_COMPARED_PAIRS], images[:_COMPARED_PAIRS])
        return images

    def _probabilities(self, pairs: Sequence[Pair]) -> np.ndarray:
        """Return P(entailment), P(contradiction) of sentence pairs: [2, pairs] float64."""
        encoded = self._encoder.encode(pairs)
        result = np.zeros((2, len(pairs)))
        wanted = [self.entailment_index, self.contradiction_index]
        for batch in _batches(encoded, self._batch_tokens):
            inputs = self._encoder.padded([encoded[index] for index in batch])
            inputs = {name: tensor.to(self._imager.device) for name, tensor in inputs.items()}
            with torch.inference_mode():
                probabilities = self._logits(inputs).float().softmax(-1)
            result[:, batch] = probabilities[:, wanted].T.cpu().numpy()
        return result

    def _run_torch(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self._imager.model(**inputs).logits

    def _compare(self, pairs: list[Pair], images: list[np.ndarray]) -> None:
        """Score a few pairs with the package itself and raise RuntimeError when they differ."""
        expected = super().images(pairs)
        differences = [abs(a[:2] - b[:2]).max() for a, b in zip(images, expected, strict=True)]
        largest = float(max(differences, default=0.0))
        logging.info("SummaC: %d pairs differ from the package by %.1e", len(pairs), largest)
        # A GPU multiplies in another order for every batch size, so only CPUs are held to this.
        if self.dtype == "float32" and self._imager.device == "cpu" and largest > TOLERANCE:
            raise RuntimeError(
                f"our NLI images differ from the summac package by {largest:.1e} (allowed "
                f"{TOLERANCE:.0e}); set the metric's implementation to package"
            )
        self._is_compared = True


class PairEncoder:
    """Token ids of (premise, hypothesis) pairs from the ids of their sentences.

    The special tokens between them are learnt from the tokenizer; a pair that is too long is given
    to the tokenizer whole, which knows best how it cuts.
    """

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self._tokenizer = tokenizer
        self._longest = tokenizer.longest(max_length)
        self._pad = tokenizer.plain.pad_token_id or 0
        self._before, self._between, self._after = _template(tokenizer)
        n_special = len(self._before.ids) + len(self._between.ids) + len(self._after.ids)
        self._room = self._longest - n_special

    def encode(self, pairs: Sequence[Pair]) -> list[Encoded]:
        """Return every pair with its special tokens."""
        sentences = list(dict.fromkeys(sentence for pair in pairs for sentence in pair))
        ids = self._sentence_ids(sentences)
        return [self._join(pair, ids[pair[0]], ids[pair[1]]) for pair in pairs]

    def padded(self, rows: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """Return the model's inputs, each [rows, longest row] int64."""
        shape = len(rows), max(len(row.ids) for row in rows)
        ids, mask, segments = np.full(shape, self._pad), np.zeros(shape, int), np.zeros(shape, int)
        for index, row in enumerate(rows):
            length = len(row.ids)
            ids[index, :length], mask[index, :length] = row.ids, 1
            segments[index, :length] = row.segments
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self._tokenizer.has_segments:
            inputs["token_type_ids"] = segments
        return {name: torch.from_numpy(array) for name, array in inputs.items()}

    def _sentence_ids(self, sentences: list[str]) -> dict[str, list[int]]:
        if not sentences:
            return {}
        # verbose: the tokenizer warns of sentences that are too long, which _join takes care of.
        ids = self._tokenizer.plain(sentences, add_special_tokens=False, verbose=False)["input_ids"]
        return dict(zip(sentences, ids, strict=True))

    def _join(self, pair: Pair, premise: list[int], hypothesis: list[int]) -> Encoded:
        if len(premise) + len(hypothesis) > self._room:
            return _whole(self._tokenizer, pair, self._longest)
        ids = (self._before.ids, premise, self._between.ids, hypothesis, self._after.ids)
        n_first = len(self._before.ids) + len(premise)
        segments = [0] * n_first + self._between.segments
        segments += [self._after.segments[0]] * len(hypothesis) + self._after.segments
        return Encoded([token for part in ids for token in part], segments)


def _template(tokenizer: Any) -> tuple[Encoded, Encoded, Encoded]:
    """Return what the tokenizer puts before, between and after the two sentences of a pair.

    Raises InputError when a pair is not made of its sentences' own tokens.
    """
    pair = ("one sentence", "another one")
    first, second = (tokenizer.plain(text, add_special_tokens=False)["input_ids"] for text in pair)
    whole = _whole(tokenizer, pair, None)
    start = _find(first, whole.ids, 0)
    follow = _find(second, whole.ids, start + len(first))
    if min(start, follow) < 0 or follow + len(second) == len(whole.ids):
        raise InputError(
            "the NLI model's tokenizer does not join a pair from its sentences; set the metric's "
            "implementation to package"
        )
    bounds = ((0, start), (start + len(first), follow), (follow + len(second), len(whole.ids)))
    before, between, after = (Encoded(whole.ids[a:b], whole.segments[a:b]) for a, b in bounds)
    return before, between, after


def _whole(tokenizer: Any, pair: Pair, longest: int | None) -> Encoded:
    """Let the tokenizer encode a pair by itself, cut at `longest` tokens."""
    options = {} if longest is None else {"truncation": True, "max_length": longest}
    encoded = tokenizer.batch_encode_plus([pair], **options)
    ids = encoded["input_ids"][0]
    return Encoded(ids, encoded["token_type_ids"][0] if tokenizer.has_segments else [0] * len(ids))


def _find(part: list[int], whole: list[int], start: int) -> int:
    """Return where `part` stands in `whole` from `start` on, or -1."""
    places = range(start, len(whole) - len(part) + 1)
    return next((place for place in places if whole[place : place + len(part)] == part), -1)


def _batches(encoded: Sequence[Encoded], batch_tokens: int) -> Iterator[np.ndarray]:
    """Yield the indices of pairs to be read together, the longest first."""
    lengths = np.array([len(row.ids) for row in encoded], dtype=int)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size


def _image(
    premises: Sequence[str],
    hypotheses: Sequence[str],
    numbers: Mapping[Pair, int],
    probabilities: np.ndarray,
) -> np.ndarray:
    if not premises or not hypotheses:
        return _EMPTY_IMAGE
    rows = [[numbers[premise, hypothesis] for hypothesis in hypotheses] for premise in premises]
    return probabilities[:, rows]
