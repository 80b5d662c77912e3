"""Build the miniature base model and its tokenizer."""

from pathlib import Path

from reset_tuning.jobs import run


def main(
    *,
    config: Path,
    model: Path,
    tokenizer: Path,
    tokenizer_config: Path,
    seed: int = 0,
    steps: int | None = None,
    threads: int = 1,
    **_prompts: Path,
) -> None:
    """Pre-train from scratch, for `steps` if given, and write the model in bfloat16.

    The prompt files may be given as inputs: the tokenizer's words come from them.
    """
    import torch

    from reset_tuning.mini.pretrain import PretrainRecipe, pretrain
    from reset_tuning.mini.storage import save_model
    from reset_tuning.mini.tokenizer import build_lm_tokenizer, save_tokenizer

    words = build_lm_tokenizer()
    recipe = PretrainRecipe(steps=steps) if steps else PretrainRecipe()
    trained = pretrain(words, recipe, seed, threads)
    save_model(trained, model, config, torch.bfloat16)
    save_tokenizer(words, tokenizer, tokenizer_config)


if __name__ == "__main__":
    run(main, snakemake)
