"""Models that start from nothing: a random Llama and a byte-level BPE tokenizer made from text.

They stand in for a downloaded base where only raw data is at hand; their scores mean nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reset_tuning.errors import InputError
from reset_tuning.tables import read_table

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS = "<pad>", "<s>", "</s>"
_BYTES = 256
_TEXT_COLUMNS = ("instruction", "context", "question")
_ROUND_MLP_TO = 32


@dataclass(frozen=True)
class InitialModel:
    """Sizes of a model to be made; `max_length` is the longest row it can read, in tokens."""

    hidden_size: int
    layers: int
    heads: int
    vocabulary: int
    seed: int
    max_length: int

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 0 or not (self.heads and self.layers and self.max_length):
            raise InputError(f"the sizes of a built model must be positive: {vars(self)}")
        if self.hidden_size % (2 * self.heads) or not self.hidden_size:
            raise InputError(
                f"a built model's hidden_size {self.hidden_size} must be a multiple of twice its "
                f"heads {self.heads}: rotary positions turn pairs of features"
            )
        if self.vocabulary < _BYTES + len((PAD, BOS, EOS)):
            raise InputError(
                f"a built model's vocabulary {self.vocabulary} must hold {_BYTES} bytes and "
                f"{len((PAD, BOS, EOS))} special tokens"
            )


def example_texts(tables: Iterable[Path]) -> Iterator[str]:
    """Yield every instruction, context, question and reference of example tables, in row order."""
    for path in tables:
        frame = read_table(path, "example")
        for row in frame[[*_TEXT_COLUMNS, "references"]].itertuples(index=False):
            *texts, references = row
            yield from (text for text in (*texts, *references) if isinstance(text, str) and text)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> "PreTrainedTokenizerFast":
    """Train a byte-level BPE tokenizer of at most `vocabulary` tokens, special ones included.

    It reads any text (there is no unknown token) and gives it back unchanged. Raises InputError
    when there is no text at all.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_not_empty(texts), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=BOS, eos_token=EOS
    )


def _not_empty(texts: Iterable[str]) -> Iterator[str]:
    """Yield the texts; raise InputError after the end if there were none."""
    seen = False
    for text in texts:
        seen = True
        yield text
    if not seen:
        raise InputError("the example tables given to build a tokenizer hold no text")


def write_initial_model(
    spec: InitialModel, tokenizer: "PreTrainedTokenizerFast", directory: Path
) -> None:
    """Write a randomly initialised Llama (fp32, tied embeddings) and its tokenizer.

    The embedding has one row per token that the tokenizer really has.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from reset_tuning.training.checkpoints import make_readable

    mlp = -(-spec.hidden_size * 8 // 3 // _ROUND_MLP_TO) * _ROUND_MLP_TO  # Llama's 8/3, rounded up
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=spec.hidden_size,
        intermediate_size=mlp,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.heads,
        max_position_embeddings=spec.max_length,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        LlamaForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    make_readable(directory)
