"""Without conda: every job of a run imported only what the environment of its rule holds."""

import json
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from environments import LOCK, canonical, packages_of, rule_environments

# Processes that a job starts: they share its environment.
STARTED = {"train_model.py": {"train"}}
# Imported by transformers, datasets and anyio where they are there, and done without elsewhere.
OPTIONAL = {"accelerate", "cloudpickle", "dill", "pillow", "scipy", "sniffio"}


def environments_of() -> dict[str, set[str]]:
    """Return the environments in which each script runs."""
    found = {name: set(environments) for name, environments in STARTED.items()}
    for script, environment in rule_environments().values():
        found.setdefault(script, set()).add(environment)
    return found


def packages_in(modules: list[str]) -> set[str]:
    """Return the locked packages that the imported modules belong to."""
    owners = packages_distributions()
    names = {canonical(owner) for module in modules for owner in owners.get(module, ())}
    return names & set(LOCK)


@pytest.mark.slow
def test_jobs_import_only_what_their_environments_hold(miniature) -> None:
    seen: set[str] = set()
    scripts = environments_of()
    for path in miniature.records.glob("*.json"):
        (program,), modules = json.loads(path.read_text())
        # Snakemake runs a script from a copy named <random>.<script>.
        script = next((s for s in scripts if Path(program).name.endswith(s)), None)
        if script is None:
            continue
        seen.add(script)
        missing = [packages_in(modules) - packages_of(name) - OPTIONAL for name in scripts[script]]
        assert min(missing, key=len) == set(), (script, missing)
    assert {"launch_training.py", "train_model.py", "score_outputs.py", "query_judge.py"} <= seen
