"""What is learnt, what is masked, and how rows become batches."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from training_world import mixture_rows, tiny_llama, word_tokenizer

from reset_tuning.errors import InputError
from reset_tuning.tables import write_table
from reset_tuning.training.encoding import (
    IGNORED_LABEL,
    Encoder,
    collate,
    encode_file,
    load_encoded,
    row_lengths,
)


def encode(prompt: str, response: str, max_length: int = 64) -> tuple[list[int], list[int]]:
    encoded = Encoder(word_tokenizer(), max_length)({"prompt": [prompt], "response": [response]})
    return encoded["input_ids"][0], encoded["labels"][0]


def test_only_the_response_and_its_end_are_learnt() -> None:
    ids, labels = encode("w1 w2 w3", "w4 w5")
    tokenizer = word_tokenizer()
    assert tokenizer.decode(ids) == "<s> w1 w2 w3 w4 w5 </s>"
    assert tokenizer.decode([label for label in labels if label >= 0]) == "w4 w5 </s>"
    assert labels[:4] == [IGNORED_LABEL] * 4
    assert len(labels) == len(ids)


def test_the_longest_row_fits_and_one_token_more_does_not() -> None:
    assert len(encode("w1 w2 w3", "w4 w5", max_length=7)[0]) == 7
    with pytest.raises(InputError, match="7 tokens, more than prompt.max_length 6"):
        encode("w1 w2 w3", "w4 w5", max_length=6)


def test_a_tokenizer_without_end_is_refused() -> None:
    tokenizer = word_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="EOS"):
        Encoder(tokenizer, 64)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_file_is_encoded_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setattr("reset_tuning.training.encoding._PROCESS_ROWS", 10)
    frame = mixture_rows(23, seed=3)
    write_table(frame, tmp_path / "rows.parquet", "mixture")
    encoder = Encoder(word_tokenizer(), 64)
    encode_file(tmp_path / "rows.parquet", encoder, tmp_path / "rows.arrow", processes=processes)
    rows = load_encoded(tmp_path / "rows.arrow")
    expected = encoder({"prompt": list(frame.prompt), "response": list(frame.response)})
    assert [row["input_ids"] for row in rows] == expected["input_ids"]
    assert [row["labels"] for row in rows] == expected["labels"]
    by_length = row_lengths(load_encoded(tmp_path / "rows.arrow", by_length=True))
    assert by_length == sorted(row_lengths(rows))


def test_an_empty_or_broken_table_is_named(tmp_path: Path) -> None:
    encoder = Encoder(word_tokenizer(), 64)
    empty, broken = tmp_path / "empty.parquet", tmp_path / "broken.parquet"
    mixture_rows(1, seed=1).iloc[:0].to_parquet(empty)
    broken.write_bytes(b"PAR1")
    pd.DataFrame({"prompt": ["w1"]}).to_parquet(tmp_path / "narrow.parquet")
    for path in (empty, broken, tmp_path / "narrow.parquet"):
        with pytest.raises(InputError, match=path.name):
            encode_file(path, encoder, tmp_path / "rows.arrow")


def test_padding_without_a_mask_changes_nothing() -> None:
    encoder = Encoder(word_tokenizer(), 64)
    encoded = encoder({"prompt": ["w1 w2 w3 w4 w5 w6", "w7"], "response": ["w8", "w9 w1"]})
    rows = [
        {"input_ids": ids, "labels": labels}
        for ids, labels in zip(encoded["input_ids"], encoded["labels"], strict=True)
    ]
    batch = collate(rows, pad_token_id=0)
    assert batch["input_ids"].shape == (2, 9)
    assert batch["input_ids"][1].tolist() == [*rows[1]["input_ids"], 0, 0, 0, 0]
    assert batch["labels"][1, 5:].tolist() == [IGNORED_LABEL] * 4
    model = tiny_llama().eval()
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
    with torch.no_grad():
        bare, masked = model(**batch).loss, model(**batch, attention_mask=mask).loss
    torch.testing.assert_close(bare, masked)
