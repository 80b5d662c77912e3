"""Build the miniature NLI model and its tokenizer."""

from pathlib import Path

from reset_tuning.jobs import run


def main(
    *,
    config: Path,
    model: Path,
    tokenizer: Path,
    tokenizer_config: Path,
    seed: int = 0,
    threads: int = 1,
    **_prompts: Path,
) -> None:
    """Train from scratch and write the model in single precision."""
    import torch

    from reset_tuning.mini.nli import NliRecipe, train_nli
    from reset_tuning.mini.storage import save_model
    from reset_tuning.mini.tokenizer import build_nli_tokenizer, save_tokenizer

    words = build_nli_tokenizer()
    trained = train_nli(words, NliRecipe(), seed, threads)
    save_model(trained, model, config, torch.float32)
    save_tokenizer(words, tokenizer, tokenizer_config)


if __name__ == "__main__":
    run(main, snakemake)
