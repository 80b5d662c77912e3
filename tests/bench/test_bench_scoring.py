"""What our scorers cost beside the packages whose scores they give: ratios of CPU time."""

import math
import random
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from reset_tuning.scoring.rouge_fast import RougeL
from reset_tuning.scoring.sentences import sentence_splitter

ROUGE_PAIRS = 100_000
DOCUMENTS, SAMPLES = 10, 7
TEMPERATURES = tuple(number / 10 for number in range(1, SAMPLES + 1))
WORDS = [f"{start}{end}" for start in ("ba", "co", "di", "fu", "le") for end in ("n", "ted", "rs")]


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU time of one call, and what it returned."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def sentence(generator: random.Random, low: int = 12, high: int = 28) -> str:
    words = generator.choices(WORDS, k=generator.randint(low, high))
    return " ".join(words).capitalize() + "."


@pytest.mark.parametrize("stemmer", [False, True], ids=["plain", "stemmed"])
def test_rouge_l_is_exact_and_fast(stemmer: bool) -> None:
    generator = random.Random(0)
    pairs = [(sentence(generator, 30, 46), sentence(generator, 24, 40)) for _ in range(ROUGE_PAIRS)]
    theirs, ours = RougeScorer(["rougeL"], use_stemmer=stemmer), RougeL(stemmer)
    slow, expected = cpu_seconds(lambda: [theirs.score(*pair)["rougeL"] for pair in pairs])
    fast, found = cpu_seconds(lambda: [ours.score(*pair) for pair in pairs])
    assert found == expected
    name = "with" if stemmer else "without"
    print(f"\nROUGE-L {name} stemmer: {ROUGE_PAIRS} equal scores, {slow / fast:.1f} x less CPU")
    assert slow >= 10 * fast


def natural_sentence(generator: random.Random) -> str:
    """Return a sentence of news-like length: 18 words in the middle, log-normal, 4 to 60."""
    count = min(60, max(4, round(generator.lognormvariate(math.log(18), 0.5))))
    return sentence(generator, count, count)


def sampled_pairs(generator: random.Random) -> list[tuple[str, str]]:
    """Return documents with seven samples each, sentences copied with probability 1 - T."""
    pairs = []
    for _ in range(DOCUMENTS):
        sentences = [natural_sentence(generator) for _ in range(generator.randint(30, 60))]
        document = " ".join(sentences)
        greedy = [natural_sentence(generator) for _ in range(generator.randint(1, 3))]
        for temperature in TEMPERATURES:
            sample = [
                kept if generator.random() < 1 - temperature else natural_sentence(generator)
                for kept in greedy
            ]
            pairs.append((document, " ".join(sample)))
    return pairs


def test_summac_reads_every_pair_of_sentences_once(tmp_path: Any) -> None:
    from summac_models import save_small_bert

    from reset_tuning.scoring.summac_fast import SummaCFast
    from reset_tuning.scoring.summac_package import SummaCPackage

    model = save_small_bert(tmp_path / "bert", [*WORDS, "."])
    options = {
        "model": str(model), "granularity": "sentence", "batch_size": 128, "threads": 1,
        "splitter": sentence_splitter("punkt_abbreviations"),
    }  # fmt: skip
    pairs = sampled_pairs(random.Random(0))
    package, ours = SummaCPackage(**options), SummaCFast(**options)
    ours._is_compared = True
    slow, expected = cpu_seconds(lambda: package.score(pairs))
    fast, found = cpu_seconds(lambda: ours.score(pairs))
    if find_spec("onnxruntime") and find_spec("onnx"):
        other = SummaCFast(runtime="onnxruntime", **options)
        other._is_compared = True
        faster, same = cpu_seconds(lambda: other.score(pairs))
        assert np.abs(np.array(same) - np.array(expected)).max() <= 1e-6
        print(f"\nSummaC under onnxruntime: {slow / faster:.1f} x less CPU than the package")
        assert slow >= 6 * faster
    difference = np.abs(np.array(found) - np.array(expected)).max()
    print(
        f"\nSummaC, {len(pairs)} samples of {DOCUMENTS} documents: {slow / fast:.1f} x less CPU "
        f"than the package, largest difference {difference:.1e}"
    )
    assert difference <= 1e-6
    assert slow >= 3 * fast
