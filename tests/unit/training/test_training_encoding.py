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
    pack,
    row_lengths,
)
from reset_tuning.training.targets import sum_row_losses, target_positions


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


def test_a_row_of_a_file_that_is_too_long_is_one_sentence(tmp_path: Path) -> None:
    write_table(mixture_rows(23, seed=3), tmp_path / "rows.parquet", "mixture")
    with pytest.raises(InputError, match="tokens, more than prompt.max_length 12"):
        encode_file(
            tmp_path / "rows.parquet", Encoder(word_tokenizer(), 12), tmp_path / "rows.arrow"
        )


def test_padding_without_a_mask_changes_nothing() -> None:
    encoder = Encoder(word_tokenizer(), 64)
    encoded = encoder({"prompt": ["w1 w2 w3 w4 w5 w6", "w7"], "response": ["w8", "w9 w1"]})
    rows = [
        {"input_ids": ids, "labels": labels, "row": 0}
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


def losses_of(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return sum_row_losses(logits[target_positions(labels)], labels)


def test_packed_rows_have_the_losses_that_they_have_alone() -> None:
    encoder = Encoder(word_tokenizer(), 64)
    prompts, responses = ["w1 w2 w3 w4 w5 w6", "w7", "w9 w9"], ["w8", "w9 w1", "w2 w3 w4"]
    encoded = encoder({"prompt": prompts, "response": responses})
    rows = [
        {"input_ids": ids, "labels": labels, "row": number}
        for number, (ids, labels) in enumerate(
            zip(encoded["input_ids"], encoded["labels"], strict=True)
        )
    ]
    batch = pack(rows)
    assert batch["input_ids"].shape == (1, 9 + 5 + 7)
    assert batch["row"].tolist() == [0, 1, 2]
    model = tiny_llama().eval()
    with torch.no_grad():
        # As the Trainer calls it: with a cache, transformers would not look for packed rows.
        inputs = {name: batch[name] for name in ("input_ids", "position_ids")}
        packed = model(**inputs, use_cache=False).logits
        total, count = losses_of(packed, batch["labels"])
        alone = [
            losses_of(
                model(input_ids=torch.tensor([row["input_ids"]])).logits,
                torch.tensor([row["labels"]]),
            )
            for row in rows
        ]
    assert int(count) == sum(int(number) for _, number in alone) == 2 + 3 + 4
    assert float(total) == pytest.approx(sum(float(loss) for loss, _ in alone), rel=1e-6)


def test_a_bounded_evaluation_always_takes_the_same_rows(tmp_path: Path) -> None:
    encoder = Encoder(word_tokenizer(), 64)
    frame = mixture_rows(40, seed=3)
    taken = []
    for name, rows in (("a", frame), ("b", frame.iloc[::-1])):
        write_table(rows, tmp_path / f"{name}.parquet", "mixture")
        encode_file(tmp_path / f"{name}.parquet", encoder, tmp_path / f"{name}.arrow", most=7)
        stored = pd.read_parquet(tmp_path / f"{name}.parquet")["example_id"]
        encoded = load_encoded(tmp_path / f"{name}.arrow")
        taken.append({stored.iloc[row] for row in encoded["row"]})
    assert len(taken[0]) == 7
    assert taken[0] == taken[1]


def test_rows_that_are_all_prompt_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = mixture_rows(5, seed=3)
    frame.loc[[1, 3], "response"] = ["", "  "]
    frame.to_parquet(tmp_path / "rows.parquet")
    encode_file(tmp_path / "rows.parquet", Encoder(word_tokenizer(), 64), tmp_path / "rows.arrow")
    assert load_encoded(tmp_path / "rows.arrow")["row"][:] == [0, 2, 4]
    assert "2 rows are all prompt" in caplog.text


def test_a_path_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "clone[1]"
    folder.mkdir()
    mixture_rows(5, seed=3).to_parquet(folder / "rows.parquet")
    encode_file(folder / "rows.parquet", Encoder(word_tokenizer(), 64), folder / "rows.arrow")
    assert len(load_encoded(folder / "rows.arrow")) == 5
