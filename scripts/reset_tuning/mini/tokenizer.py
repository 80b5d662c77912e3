"""The word-level tokenizers of the miniature models, loadable with AutoTokenizer.

Every word of the world is one token, and so is each of the two Alpaca headers: the prompts stay
at about a hundred tokens. The language models' tokenizer adds no special tokens by itself (the
code that renders prompts does); the NLI model's wraps a pair as `<s> premise </s> hypothesis </s>`.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers.decoders import Replace, WordPiece
from tokenizers.decoders import Sequence as Decoders
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from reset_tuning.files import atomic_path
from reset_tuning.mini.prompts import alpaca_headers
from reset_tuning.mini.vocabulary import BOS, EOS, PAD, UNK, vocabulary

MAX_LM_TOKENS = 256
MAX_NLI_TOKENS = 64
READABLE_BY_ALL = 0o644
_NO_PREFIX = "\N{NULL}"  # the decoder's word-continuation prefix, which no word of the world has


def build_lm_tokenizer() -> PreTrainedTokenizerFast:
    """Return the language models' tokenizer, with the Alpaca headers as tokens of their own."""
    tokenizer = _word_level()
    headers = [AddedToken(header, normalized=False, special=False) for header in alpaca_headers()]
    tokenizer.add_tokens(headers)
    return _wrap(tokenizer, MAX_LM_TOKENS, ["input_ids", "attention_mask"])


def build_nli_tokenizer() -> PreTrainedTokenizerFast:
    """Return the NLI model's tokenizer, which joins premise and hypothesis and marks segments."""
    tokenizer = _word_level()
    bos, eos = (tokenizer.token_to_id(token) for token in (BOS, EOS))
    tokenizer.post_processor = TemplateProcessing(
        single=f"{BOS} $A {EOS}",
        pair=f"{BOS} $A {EOS} $B:1 {EOS}:1",
        special_tokens=[(BOS, bos), (EOS, eos)],
    )
    return _wrap(tokenizer, MAX_NLI_TOKENS, ["input_ids", "token_type_ids", "attention_mask"])


def save_tokenizer(
    tokenizer: PreTrainedTokenizerFast, tokenizer_file: Path, config_file: Path
) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for target in (tokenizer_file, config_file):
            with atomic_path(target) as temporary:
                temporary.write_bytes((Path(folder) / target.name).read_bytes())
                temporary.chmod(READABLE_BY_ALL)


def _word_level() -> Tokenizer:
    """Return a tokenizer that knows the world's words and takes punctuation apart.

    Decoding joins words with blanks and puts punctuation back where it belongs, so that text
    survives a round trip but for line breaks.
    """
    tokenizer = Tokenizer(WordLevel(vocabulary(), unk_token=UNK))
    tokenizer.pre_tokenizer = PreTokenizers(
        [
            Split(Regex(r"\s+"), "removed"),
            Split(Regex(r"###|[^A-Za-z0-9#]"), "isolated"),
        ]
    )
    tokenizer.decoder = Decoders([WordPiece(prefix=_NO_PREFIX, cleanup=True), Replace(" :", ":")])
    return tokenizer


def _wrap(tokenizer: Tokenizer, max_tokens: int, input_names: list[str]) -> PreTrainedTokenizerFast:
    """Give a tokenizer its special tokens, its limit and the names of what it returns."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        model_max_length=max_tokens,
        model_input_names=input_names,
        clean_up_tokenization_spaces=False,
    )
