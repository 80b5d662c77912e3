"""Logits are computed for targets alone, and loss and gradients are the model's own."""

import pytest
import torch
from training_world import tiny_llama

from reset_tuning.training.targets import TargetHead, mean_loss, sum_row_losses, target_positions

LABELS = torch.tensor([[-100, -100, 1, 2, 3], [-100, 4, -100, -100, -100]])


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("items", [None, 9])
def test_loss_and_gradients_are_those_of_the_model_itself(items: int | None) -> None:
    ids = torch.tensor([[5, 6, 1, 2, 3], [7, 4, 0, 0, 0]])
    whole, aimed = tiny_llama(), tiny_llama()
    aimed.load_state_dict(whole.state_dict())
    expected = whole(input_ids=ids, labels=LABELS, num_items_in_batch=items).loss
    expected.backward()
    head = TargetHead(aimed)
    head.aim(LABELS)
    outputs = aimed(input_ids=ids)
    assert outputs.logits.shape == (4, aimed.config.vocab_size)
    loss = mean_loss(outputs, LABELS, items)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradients(aimed), gradients(whole))


def test_without_labels_the_logits_are_those_of_all_positions() -> None:
    model = tiny_llama()
    TargetHead(model)
    assert model(input_ids=torch.tensor([[5, 6, 1]])).logits.shape[:2] == (1, 3)


def test_row_losses_are_those_of_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 7, generator=generator)
    labels = torch.tensor([[-100, -100, 1, 2, 3], [-100, 4, -100, -100, -100], [-100] * 5])
    sums, counts = sum_row_losses(logits[target_positions(labels)], labels)
    assert counts.tolist() == [3, 1, 0]
    for row in range(3):
        expected = 0.0
        for position in range(1, 5):
            if labels[row, position] >= 0:
                scores = logits[row, position - 1].log_softmax(-1)
                expected -= float(scores[labels[row, position]])
        assert float(sums[row]) == pytest.approx(expected)
