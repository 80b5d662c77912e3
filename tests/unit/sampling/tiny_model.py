"""A model that costs nothing: random weights and forty words."""

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT = """### Instruction: Input: Response: Question: Answer the question. Name a colour animal
who where what is red green blue cat dog bird owns lives in Rome Oslo Ada Bob ."""


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of forty words and the special tokens."""
    vocabulary = {
        word: place for place, word in enumerate(["[PAD]", "[UNK]", "<s>", "</s>", *TEXT.split()])
    }
    words = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="[UNK]",
        pad_token="[PAD]",
    )


def tiny_llama(
    tokenizer: PreTrainedTokenizerFast, seed: int = 0, **changes: int
) -> LlamaForCausalLM:
    """Return a random Llama whose next words are neither certain nor uniform."""
    torch.manual_seed(seed)
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,
        **(size | heads | changes),
    )
    return LlamaForCausalLM(config).eval()
