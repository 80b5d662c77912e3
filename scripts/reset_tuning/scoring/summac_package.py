"""The summac package under transformers 5: subclassed where it has broken, otherwise as it is."""

from functools import lru_cache
from typing import Any

import numpy as np
import summac.model_summac as upstream
import torch
from transformers import AutoConfig, PretrainedConfig

from reset_tuning.errors import InputError
from reset_tuning.scoring.sentences import Splitter

_RESERVED_POSITIONS = 2  # RoBERTa counts its positions from 2
_SHORTEST_SENTENCE = 11  # characters; the package drops shorter ones on both sides
_GRANULARITIES = ("sentence", "paragraph", "document")
_LABEL_STEMS = {"entailment": ("entail", "support"), "contradiction": ("contradict", "refute")}


class SummaCPackage:
    """SummaCZS of the package in both variants over one set of NLI images.

    With `keep_short` a text whose every sentence is too short for the package is read as one
    sentence; without it such a text has no sentence.
    """

    def __init__(
        self,
        model: str,
        granularity: str,
        splitter: Splitter,
        batch_size: int,
        threads: int,
        keep_short: bool = False,
    ) -> None:
        torch.set_num_threads(threads)
        _check_granularity(granularity)
        config = _load_config(model)
        self.entailment_index, self.contradiction_index = label_indices(config, model)
        self._batch_size = batch_size
        device = "cuda" if torch.cuda.is_available() else "cpu"
        upstream.model_map[model] = {
            "model_card": model,
            "entailment_idx": self.entailment_index,
            "contradiction_idx": self.contradiction_index,
        }
        self._imager = _Imager(
            splitter, keep_short, model_name=model, granularity=granularity, device=device
        )
        settings = {"model_name": model, "granularity": granularity, "device": device}
        self._variants = [
            upstream.SummaCZS(use_con=use_con, imager_load_cache=False, **settings)
            for use_con in (False, True)
        ]
        _load_model(self._imager)

    @property
    def dtype(self) -> str:
        """Numbers of the NLI model; the package runs in half precision on a GPU."""
        return str(self._imager.model.dtype).removeprefix("torch.")

    @property
    def max_document_parts(self) -> int:
        """Sentences of a document that the package reads; it ignores the rest."""
        return self._imager.max_doc_sents

    def document_parts(self, text: str) -> list[str]:
        """Return the sentences of a document that are long enough to be scored."""
        return self._imager.split_text(text, self._imager.grans[0])

    def answer_parts(self, text: str) -> list[str]:
        """Return the sentences of an answer that are long enough to be scored."""
        return self._imager.split_text(text, self._imager.grans[-1])

    def score(self, pairs: list[tuple[str, str]]) -> list[tuple[float, float]]:
        """Return (entailment only, entailment minus contradiction) of (document, answer) pairs."""
        entailment, default = self._variants
        return [
            (float(entailment.image2score(image)), float(default.image2score(image)))
            for image in self.images(pairs)
        ]

    def images(self, pairs: list[tuple[str, str]]) -> list[np.ndarray]:
        """Return the NLI image of each pair.

        An image is [labels, document sentences, answer sentences], labels in the order entailment,
        contradiction.
        """
        documents, answers = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        images = self._imager.build_images(documents, answers, batch_size=self._batch_size)
        self._imager.cache.clear()  # it keeps whole documents for ever; pairs never come twice
        return images


def label_indices(config: PretrainedConfig, model: str) -> tuple[int, int]:
    """Return the outputs of an NLI model that stand for entailment and contradiction.

    They are read from the config's id2label, or from the package's own table of models; raises
    InputError when neither knows them or the model has not three labels.
    """
    labels = {int(index): str(label).lower() for index, label in config.id2label.items()}
    found = [
        [index for index, label in labels.items() if label.startswith(stems)]
        for stems in _LABEL_STEMS.values()
    ]
    if len(labels) == 3 and all(len(indices) == 1 for indices in found):
        return found[0][0], found[1][0]
    for known in upstream.model_map.values():
        if known["model_card"] == model:
            return known["entailment_idx"], known["contradiction_idx"]
    raise InputError(
        f"the NLI model {model} must have three labels, entailment, neutral and contradiction, but "
        f"its config.json has id2label {config.id2label}; name them there or take another model"
    )


def _check_granularity(granularity: str) -> None:
    parts = granularity.split("-")
    if not set(parts) <= set(_GRANULARITIES) or len(parts) > 2:
        allowed = ", ".join(_GRANULARITIES)
        raise InputError(
            f"unknown SummaC granularity {granularity!r}: use one of {allowed}, or two of them "
            "joined by a hyphen (document first)"
        )


def _load_config(model: str) -> PretrainedConfig:
    try:
        return AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise _unloadable(model, error) from error


def _load_model(imager: upstream.SummaCImager) -> None:
    try:
        imager.load_nli()
    except (OSError, ValueError) as error:
        raise _unloadable(imager.model_card, error) from error


def _unloadable(model: str, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(
        f"the NLI model {model} cannot be loaded ({reason}); set the metric's model to a hub id "
        "that this machine can reach or to a local directory"
    )


class _Imager(upstream.SummaCImager):
    """The package's imager with a tokenizer that v5 of transformers still understands."""

    def __init__(self, splitter: Splitter, keep_short: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self._sentences = lru_cache(maxsize=4096)(splitter)
        self._keep_short = keep_short

    def load_nli(self) -> None:
        """Load the model as the package does and put the adapter around its tokenizer."""
        super().load_nli()
        has_segments = getattr(self.model.config, "type_vocab_size", 0) > 1
        positions = getattr(self.model.config, "max_position_embeddings", None)
        longest = positions - _RESERVED_POSITIONS if positions else None
        self.tokenizer = _Tokenizer(self.tokenizer, has_segments, longest)

    def split_sentences(self, text: str) -> list[str]:
        """Split with the chosen splitter; drop short sentences as the package does."""
        kept = [item for item in self._sentences(text) if len(item) >= _SHORTEST_SENTENCE]
        if kept or not self._keep_short or not text.strip():
            return kept
        return [text.strip()]


class _Tokenizer:
    """The one call that the package makes, on top of a tokenizer of transformers 5."""

    def __init__(self, tokenizer: Any, has_segments: bool, longest: int | None) -> None:
        self.plain = tokenizer
        self.has_segments = has_segments
        self._longest = longest

    def longest(self, asked: int) -> int:
        """Return the most tokens of a pair: what is asked for, or what the model can read."""
        return asked if self._longest is None else min(asked, self._longest)

    def batch_encode_plus(
        self, pairs: list[tuple[str, str]], truncation_strategy: str | None = None, **options: Any
    ) -> Any:
        """Encode (premise, hypothesis) pairs.

        `truncation_strategy` is dropped: beside truncation=True transformers 4 ignored it and
        transformers 5 raises. Segment ids are asked for: version 5 leaves them out for ALBERT,
        which changes scores by up to 0.24 without a word. A model with fewer positions than the
        package's 500 tokens is cut at what it can read.
        """
        if "max_length" in options:
            options["max_length"] = self.longest(options["max_length"])
        if self.has_segments:
            options["return_token_type_ids"] = True
        premises, hypotheses = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        return self.plain(premises, hypotheses, **options)
