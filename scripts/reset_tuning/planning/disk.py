"""What jobs leave on the disk, and what a training needs while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reset_tuning.planning.expectations import Expectations
    from reset_tuning.planning.jobs import PlannedJob
    from reset_tuning.planning.models import ModelSizes
    from reset_tuning.planning.work import Work

# AdamW keeps 12 bytes a parameter in fp32 (weights and two moments), beside the weights themselves.
_OPTIMISER_BYTES = 12
MOST_STATES = 2  # a new state is complete before the old one goes
_SETS_OF_WEIGHTS = 3  # best so far, the next best while it is written, last
_ENCODED_BYTES = 12  # a token's id and label in the encoded rows
_TEXT_BYTES = 4.0  # a token as text; parquet's compression makes up for its other columns
_RECORD_BYTES = 3000  # a judge's reply with its request
_ROW_BYTES = 100  # a score with its key
_KEPT_SETS = 2  # best and last


@dataclass(frozen=True)
class DiskNeed:
    """Bytes that stay, and those that a job needs besides while it runs."""

    kept: float = 0.0
    transient: float = 0.0


def training_need(weight_bytes: float, parameters: float, tokens: float, n_states: int) -> DiskNeed:
    """Return what a training leaves and needs: weights, resume states, encoded rows."""
    state = _OPTIMISER_BYTES * parameters + weight_bytes
    extra = (_SETS_OF_WEIGHTS - _KEPT_SETS) * weight_bytes
    return DiskNeed(
        kept=_KEPT_SETS * weight_bytes,
        transient=n_states * state + extra + _ENCODED_BYTES * tokens,
    )


def resume_states(seconds: float, resume_minutes: float) -> int:
    """Return how many states lie on the disk at once: none in a training that ends before one."""
    if not resume_minutes:  # one after every step
        return MOST_STATES
    return min(MOST_STATES, int(seconds / (60 * resume_minutes)))


def job_need(
    job: "PlannedJob", work: "Work", seconds: float, expectations: "Expectations",
    sizes: "ModelSizes", raw_bytes: Mapping[str, float],
) -> DiskNeed:  # fmt: skip
    """Return the disk need of one job; tables and figures are too small to count."""
    experiment = expectations.experiment
    wildcards = job.wildcards
    if job.rule == "train":
        model = experiment.root_model(wildcards["run"])
        minutes = experiment.config["launch"]["resume_minutes"]
        states = resume_states(seconds, minutes)
        epochs = experiment.resolved_run(wildcards["run"])["training"]["epochs"]
        return training_need(
            sizes.weight_bytes(model), sizes.parameters(model), work.tokens / epochs, states
        )
    if job.rule == "fetch_raw":
        return DiskNeed(raw_bytes.get(wildcards["dataset"], 0.0))
    if job.rule == "prepare_split":
        rows = expectations.split(wildcards["dataset"], wildcards["split"])
        return DiskNeed(_TEXT_BYTES * rows.tokens)
    if job.rule == "build_mixture":
        return DiskNeed(_TEXT_BYTES * expectations.mixture(wildcards["mixture"]).tokens)
    if job.rule in ("generate_outputs", "sample_outputs"):
        return DiskNeed(2 * _TEXT_BYTES * work.tokens)  # with the sidecar
    if work.stage == "judge":
        return DiskNeed(2 * _RECORD_BYTES * work.amounts["judge"])  # with the records
    if job.rule.startswith("score"):
        return DiskNeed(_ROW_BYTES * 1e4)
    return DiskNeed()
