"""Between tokens and texts: what all backends have in common."""

from typing import TYPE_CHECKING

from reset_tuning.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer


def encode(tokenizer: "Tokenizer", texts: list[str]) -> list[list[int]]:
    """Return the token ids of prompts as they are trained on: BOS, then the text."""
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [[tokenizer.bos_token_id, *ids] for ids in encoded]


def decoded(tokenizer: "Tokenizer", tokens: list[int]) -> str:
    """Return the text of an output without special tokens and outer white space."""
    # Spaces stay as the model wrote them: some tokenizers would close them before punctuation.
    text = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text.strip()


def ends_of(declared: int | list[int] | None, tokenizer: "Tokenizer") -> set[int]:
    """Return the ids that end an answer: the tokenizer's EOS and those that the model declares.

    Raises InputError when there are none.
    """
    ends = set(declared) if isinstance(declared, list) else {declared}
    found = {end for end in ends | {tokenizer.eos_token_id} if end is not None}
    if not found:
        raise InputError(f"the tokenizer {tokenizer.name_or_path} has no EOS token: none can end")
    return found
