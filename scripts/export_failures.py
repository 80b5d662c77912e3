"""Draw failed extractive answers for people to label, without saying whose they are."""

from pathlib import Path

from reset_tuning.jobs import listed, run


def main(
    *,
    outputs: Path | list[Path],
    examples: Path | list[Path],
    sheet: Path,
    key: Path,
    per_system: int,
    seed: int,
    unicode: bool,
) -> None:
    from reset_tuning.scoring.failures import export_failures

    outputs = listed(outputs)
    examples = listed(examples)
    export_failures(outputs, examples, sheet, key, int(per_system), int(seed), unicode)


if __name__ == "__main__":
    run(main, snakemake)
