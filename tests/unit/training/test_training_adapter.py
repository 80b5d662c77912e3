"""Low-rank adapters: what is trained is small, what is written is an ordinary model."""

import builtins
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import ALWAYS, assert_same, signal_launcher, train, train_until
from safetensors.torch import load_file
from training_world import evaluation_loss, tiny_llama, write_settings
from transformers import AutoModelForCausalLM

from reset_tuning.errors import InputError
from reset_tuning.tables import read_table
from reset_tuning.training.adapter import add_adapter, merge_adapter
from reset_tuning.training.settings import AdapterSettings

ADAPTER = {"rank": 4, "alpha": 8, "dropout": 0.1}


def test_without_peft_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_peft(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "peft":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_peft)
    with pytest.raises(InputError, match="pip install peft"):
        add_adapter(tiny_llama(), AdapterSettings(4, 8.0), seed=1)


def test_merged_weights_give_the_same_outputs() -> None:
    pytest.importorskip("peft")
    settings = AdapterSettings(4, 8.0)
    adapted = add_adapter(tiny_llama(), settings, seed=1).eval()
    trained = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * 7 * 2  # A and B of seven layers in two blocks
    assert all(".lora_" in name for name in trained)
    generator = torch.Generator().manual_seed(0)
    for name, weight in adapted.named_parameters():
        if ".lora_B" in name:  # they start at zero
            torch.nn.init.normal_(weight, std=0.3, generator=generator)
    plain = tiny_llama().eval()
    before = plain(torch.tensor([[1, 5, 6, 7]])).logits
    plain.load_state_dict(merge_adapter(adapted.state_dict(), settings))
    merged = plain(torch.tensor([[1, 5, 6, 7]])).logits
    torch.testing.assert_close(merged, adapted(torch.tensor([[1, 5, 6, 7]])).logits)
    assert not torch.allclose(merged, before, atol=1e-2)


@pytest.mark.slow
def test_an_interrupted_training_of_an_adapter_ends_the_same(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    settings = write_settings(tmp_path / "run.json", learning_rate=2e-2, adapter=ADAPTER)
    options: dict[str, Any] = {"settings": settings, "gradient_checkpointing": 1}
    expected = train(world, tmp_path / "uninterrupted", **options)
    base = load_file(world / "base" / "model.safetensors")
    weights = load_file(expected / "last" / "model.safetensors")
    assert weights.keys() == base.keys()
    changed = {name for name in base if not torch.equal(base[name], weights[name])}
    assert changed == {name for name in base if "_proj" in name}
    history = read_table(expected / "history.csv", "history")
    assert history["eval_loss"].is_monotonic_decreasing
    model = AutoModelForCausalLM.from_pretrained(expected / "last").eval()
    loss = evaluation_loss(model, expected / "last", world / "validation.parquet")
    assert history["eval_loss"].iloc[-1] == pytest.approx(loss, rel=1e-5)

    target = tmp_path / "seed-1"
    stop = signal_launcher(15)
    status, log = train_until(world, target, "step 6: state kept", stop, **options, **ALWAYS)
    assert status != 0
    assert "training was stopped by SIG" in log
    train(world, target, **options)
    assert_same(target, expected)
