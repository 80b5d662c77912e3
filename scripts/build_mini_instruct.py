"""Build the miniature instruction-tuned model from the base model."""

from pathlib import Path

from reset_tuning.jobs import run


def main(
    *,
    base_model: Path,
    config: Path,
    model: Path,
    tokenizer: Path,
    tokenizer_config: Path,
    seed: int = 0,
    threads: int = 1,
    **_others: Path,
) -> None:
    """Fine-tune the base model in the folder of `base_model` and write the model in bfloat16."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    from reset_tuning.mini.instruct import InstructRecipe, build_instruct
    from reset_tuning.mini.storage import save_model
    from reset_tuning.mini.tokenizer import save_tokenizer

    words = AutoTokenizer.from_pretrained(base_model.parent)
    base = LlamaForCausalLM.from_pretrained(base_model.parent, dtype=torch.float32)
    tuned = build_instruct(base, words, InstructRecipe(), seed, threads)
    save_model(tuned, model, config, torch.bfloat16)
    save_tokenizer(words, tokenizer, tokenizer_config)


if __name__ == "__main__":
    run(main, snakemake)
