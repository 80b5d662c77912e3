"""Say what is left to do for a target and what it costs; fail above a limit of the config."""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from reset_tuning.jobs import run
from reset_tuning.planning.effects import detectable_effects
from reset_tuning.planning.jobs import dry_run
from reset_tuning.planning.plan import Planner, check_limits
from reset_tuning.planning.report import format_plan
from reset_tuning.tables import write_table

ROOT = Path(__file__).resolve().parents[1]


def main(
    *,
    config: dict[str, Any],
    given: dict[str, Any],
    prompts: dict[str, dict[str, str]],
    asked: dict[str, dict[str, int]],
    results: str,
) -> None:
    target, folder = config["plan"]["target"], Path(results) / "plan"
    jobs = dry_run(ROOT / "Snakefile", given, target.split(), asked)
    planner = Planner(config, Path(results), ROOT / "resources" / "planning", prompts, jobs)
    table = planner.table(planner.estimates())
    effects = detectable_effects(planner.expectations, planner.deviations)
    write_table(table, folder / "plan.csv", "plan")
    write_table(pd.DataFrame(effects), folder / "detectable_effects.csv", "detectable_effects")
    note = f"Left to do for {target}; as tables: {folder}/plan.csv and detectable_effects.csv."
    sys.stdout.write(format_plan(table, effects, note))
    sys.stdout.flush()
    check_limits(table, config["plan"]["limits"])


if __name__ == "__main__":
    run(main, snakemake)
