"""A second faithfulness judge: a model that says whether a document supports a claim.

MiniCheck and HHEM are such models; TRUE's T5 writes '1' or '0'. Which model, how the two
texts are put to it and which output means "supported" stand in the config, so another one is YAML
only. The document is cut into parts of whole sentences, the answer into sentences; the score is
the mean over the answer's sentences of the best part's probability.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import pandas as pd
import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from reset_tuning.errors import InputError
from reset_tuning.journal import Sidecar
from reset_tuning.loading import loading
from reset_tuning.reuse import count_known
from reset_tuning.scoring.means import Means, digest_of
from reset_tuning.scoring.progress import Progress
from reset_tuning.scoring.sentences import sentence_splitter
from reset_tuning.scoring.summac import document
from reset_tuning.scoring.table import EMPTY_OUTPUT, UNDEFINED, Score, is_empty, scored

KINDS = ("abstractive_qa", "summarization")
UNITS = ("sentence", "whole")

Pair = tuple[str, str]


def score(
    rows: pd.DataFrame, spec: dict[str, Any], means: Means
) -> tuple[dict[str, list[Score]], dict[str, Any]]:
    """Score abstractive answers and summaries; return the scores under `spec["metric"]`.

    An empty output scores 0; without a document the score is undefined. Raises InputError when the
    model cannot be loaded or the spec does not fit it.
    """
    judge = cache(partial(_Judge, spec, means))  # not loaded where every score is known
    documents = [document(*parts) for parts in zip(rows["context"], rows["question"], strict=True)]
    pairs = list(zip(documents, rows["output"], strict=True))
    distinct = sorted({pair for pair in pairs if not is_empty(pair[1])})
    settings = {name: spec[name] for name in sorted(spec)} | {
        name: version(name) for name in ("transformers", "torch", "nltk")
    }
    progress = Progress(spec["metric"], len(distinct))
    known: dict[Pair, Score] = {}
    with means.kept_scores(spec["model"], settings) as sidecar:
        for pair in distinct:
            known[pair] = _score_once(judge, pair, sidecar)
            progress.add()
    return {spec["metric"]: [known.get(pair, EMPTY_OUTPUT) for pair in pairs]}, settings


def _score_once(judge: Callable[[], "_Judge"], pair: Pair, sidecar: Sidecar) -> Score:
    """Return a pair's score, from the sidecar if it was made before.

    No other pair is in its batches, so that its score does not depend on them.
    """
    key = digest_of(pair)
    kept = sidecar.get(key)
    count_known(1 if kept else 0, 1)
    if kept:
        return Score(*kept)
    score = judge().score(*pair)
    sidecar.add([(key, [score.value, score.status])])
    return score


class _Judge:
    """One model with its tokenizer, and how a document and a claim are put to it."""

    def __init__(self, spec: dict[str, Any], means: Means) -> None:
        torch.set_num_threads(means.threads)
        self._spec = spec
        self._split = sentence_splitter(spec.get("splitter", "punkt_tab"))
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._batch_size = means.batch_size
        self._is_seq2seq = spec["architecture"] == "seq2seq"
        loader = AutoModelForSeq2SeqLM if self._is_seq2seq else AutoModelForSequenceClassification
        what = f"the model {spec['model']} of metric {spec['metric']} ({spec['architecture']})"
        with loading(what, "; correct its model or architecture"):
            self._tokenizer = AutoTokenizer.from_pretrained(spec["model"])
            self._model = loader.from_pretrained(spec["model"]).eval().to(self._device)
        self._check_length()
        self._outputs = self._wanted_outputs()

    def score(self, text: str, answer: str) -> Score:
        """Return the mean over the answer's sentences of the best part's probability."""
        parts = list(document_parts(self._split(text), self._spec["chunk_words"]))
        whole = self._spec.get("answer_unit", UNITS[0]) == "whole"
        claims = [answer.strip()] if whole else self._split(answer)
        if not parts or not claims:
            return UNDEFINED
        supported = self._probabilities([(part, claim) for claim in claims for part in parts])
        best = torch.tensor(supported).reshape(len(claims), len(parts)).max(dim=1).values
        return scored(best.mean().item())

    def _probabilities(self, pairs: Sequence[Pair]) -> list[float]:
        """Return the probability that each (part, claim) is supported."""
        found: list[float] = []
        for start in range(0, len(pairs), self._batch_size):
            inputs = self._encoded(pairs[start : start + self._batch_size]).to(self._device)
            with torch.inference_mode():
                logits = self._model(**inputs, **self._decoder(len(inputs["input_ids"]))).logits
            logits = logits[:, 0] if self._is_seq2seq else logits
            found += self._supported(logits.float().cpu())
        return found

    def _supported(self, logits: torch.Tensor) -> list[float]:
        """Turn logits into the probability of the positive output among those that count."""
        if logits.shape[-1] == 1:
            return logits[:, 0].sigmoid().tolist()
        positive, *others = self._outputs
        return logits[:, [positive, *others]].softmax(-1)[:, 0].tolist()

    def _encoded(self, pairs: Sequence[Pair]) -> Any:
        options = {"padding": True, "truncation": True, "return_tensors": "pt"}
        options["max_length"] = self._spec["max_length"]
        # Transformers 5 leaves segment ids out for some tokenizers, which changes scores silently.
        if getattr(self._model.config, "type_vocab_size", 0) > 1:
            options["return_token_type_ids"] = True
        template = self._spec.get("template")
        if template is None:
            parts, claims = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            return self._tokenizer(parts, claims, **options)
        eos = self._tokenizer.eos_token or self._tokenizer.sep_token or ""
        texts = [template.format(document=part, answer=claim, eos=eos) for part, claim in pairs]
        return self._tokenizer(texts, **options)

    def _decoder(self, rows: int) -> dict[str, torch.Tensor]:
        """Return what a seq2seq model starts its answer with."""
        if not self._is_seq2seq:
            return {}
        first = self._model.config.decoder_start_token_id
        return {"decoder_input_ids": torch.full((rows, 1), first, device=self._device)}

    def _check_length(self) -> None:
        longest = _most_tokens(self._model)
        if longest is not None and self._spec["max_length"] > longest:
            raise InputError(
                f"metric {self._spec['metric']}: max_length is {self._spec['max_length']}, but "
                f"{self._spec['model']} reads at most {longest} tokens; set max_length to {longest}"
            )

    def _wanted_outputs(self) -> list[int]:
        """Return the index of the positive output and then those of the others that count."""
        spec, config = self._spec, self._model.config
        names = [spec["positive"], *spec.get("negative", [])]
        if self._is_seq2seq:
            tokens = [self._first_token(name) for name in names]
            if len(tokens) < 2 or tokens[0] in tokens[1:]:
                raise InputError(
                    f"metric {spec['metric']}: {spec['model']} must write other first tokens for "
                    f"positive ({spec['positive']!r}) than for negative ({spec.get('negative')})"
                )
            return tokens
        labels = {str(name): int(index) for index, name in config.id2label.items()}
        if len(labels) == 1:
            return [0]
        if spec["positive"] not in labels:
            raise InputError(
                f"metric {spec['metric']}: positive is {spec['positive']!r}, but the labels of "
                f"{spec['model']} are {', '.join(labels)}"
            )
        positive = labels[spec["positive"]]
        return [positive, *(index for index in labels.values() if index != positive)]

    def _first_token(self, text: str) -> int:
        """Return the token that an answer of this text begins with.

        SentencePiece may put a word boundary in front: T5 writes "1" as one token and "0" as two,
        of which the boundary comes first; MiniCheck compares just these.
        """
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        if not ids:
            raise InputError(
                f"metric {self._spec['metric']}: {text!r} is no token of {self._spec['model']}"
            )
        return ids[0]


def _most_tokens(model: torch.nn.Module) -> int | None:
    """Return how many positions a model has learnt; None where it computes them, as T5 does.

    RoBERTa leaves those up to its padding's out, BART the first two.
    """
    for name, module in model.named_modules():
        is_table = name.endswith(("position_embeddings", "embed_positions"))
        if is_table and isinstance(module, torch.nn.Embedding):
            padding = -1 if module.padding_idx is None else module.padding_idx
            return module.num_embeddings - getattr(module, "offset", padding + 1)
    return None


def document_parts(sentences: Sequence[str], words: int) -> Iterator[str]:
    """Yield parts of whole sentences of at most `words` words; a longer sentence is one part.

    >>> list(document_parts(["a b", "c", "d e f g", "h"], 3))
    ['a b c', 'd e f g', 'h']
    """
    part: list[str] = []
    length = 0
    for sentence in sentences:
        count = len(sentence.split())
        if part and length + count > words:
            yield " ".join(part)
            part, length = [], 0
        part.append(sentence)
        length += count
    if part:
        yield " ".join(part)
