"""A generic tokenizer is loaded without torch, and is the one that AutoTokenizer gives."""

import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from helpers import ROOT
from reset_tuning.errors import InputError
from reset_tuning.tokenizing import load_tokenizer

BASE = ROOT / "resources" / "mini" / "base"


def test_a_generic_tokenizer_is_the_one_that_transformers_chooses() -> None:
    ours, theirs = load_tokenizer(str(BASE)), AutoTokenizer.from_pretrained(BASE)
    assert type(ours) is type(theirs)
    texts = ["### Instruction:\nRepeat the word .", "", "a b"]
    assert ours(texts)["input_ids"] == theirs(texts)["input_ids"]
    assert ours.special_tokens_map == theirs.special_tokens_map


def test_counting_tokens_imports_no_torch() -> None:
    program = (
        "import sys; from reset_tuning.tokenizing import load_tokenizer\n"
        f"load_tokenizer({str(BASE)!r})('a b'); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "scripts", capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr


def test_a_folder_without_a_tokenizer_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the tokenizer of .* cannot be loaded"):
        load_tokenizer(str(tmp_path))
