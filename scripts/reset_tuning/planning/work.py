"""What each planned job has to do: tokens to train on, read and write, pairs, judged answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from reset_tuning.data.prompts import INSTRUCTION_KIND
from reset_tuning.planning.expectations import Expectations, Rows, together
from reset_tuning.planning.models import ModelSizes
from reset_tuning.sampling.decodings import GREEDY

TRAIN, READ, WRITE, ENTAIL, JUDGE, OTHER = "train", "read", "write", "entail", "judge", "other"
ENTAILED_KINDS = ("abstractive_qa", "summarization")  # what SummaC and classifiers score
JUDGE_RULES = (
    "query_judge",
    "query_judge_served",
    "query_judge_served_on_cpu",
    "query_pool_judge",
    "query_pool_judge_served",
    "query_pool_judge_served_on_cpu",
)
# A loss is a third of a step's arithmetic: no backward pass.
_SHARE_OF_EVALUATION = 1 / 3
_TOKENS_PER_SENTENCE = 25.0  # of news and passages


@dataclass(frozen=True)
class Work:
    """What one job has to do.

    `amounts` are by stage of the throughput table: tokens to train on, prompt tokens to read and
    tokens to write, sentence pairs, requests. `parameters` is the size of the model, 0 without one.
    `tokens` is what the plan reports: tokens trained on, or written.
    """

    stage: str
    amounts: Mapping[str, float] = field(default_factory=dict)
    parameters: float = 0.0
    tokens: float = 0.0
    basis: str = "known"


class Workload:
    """The work of any job of an experiment, planned or done."""

    def __init__(self, expectations: Expectations, sizes: ModelSizes) -> None:
        self._experiment = expectations.experiment
        self._expectations = expectations
        self._sizes = sizes

    def of(self, rule: str, wildcards: Mapping[str, str]) -> Work:
        """Return the work of the job of a rule with these wildcards."""
        if rule == "train":
            return self._training(wildcards["run"], int(wildcards["seed"]))
        if rule == "generate_outputs":
            return self._generation(wildcards)
        if rule == "sample_outputs":
            return self._sampling(wildcards)
        if rule in ("score_entailment", "score_pool_entailment"):
            return self._entailment(self._answers(wildcards))
        if rule in JUDGE_RULES:
            return self._judging(wildcards)
        return Work(OTHER)

    # ---------------------------------------------------------------- training

    def steps(self, run: str, seed: int) -> float:
        """Return the optimiser steps of a run."""
        settings = self._experiment.resolved_run(run)["training"]
        rows = self._expectations.training(run, seed).count * settings["epochs"]
        return max(1.0, rows / settings["global_batch_size"])

    def _training(self, run: str, seed: int) -> Work:
        settings = self._experiment.resolved_run(run)["training"]
        rows = self._expectations.training(run, seed)
        tokens = rows.tokens * settings["epochs"]
        mixture = self._experiment.validation_mixture(run)
        evaluated = together(list(self._expectations.sets(mixture).values()))
        most = self._experiment.config["mixtures"][mixture]["validation_size"] * len(
            self._experiment.mixtures[mixture]["sets"]
        )
        evaluated = evaluated.limited(min(settings.get("evaluation_examples") or most, most))
        evaluations = 1 + self.steps(run, seed) // settings["evaluation_steps"]
        amount = tokens + _SHARE_OF_EVALUATION * evaluations * evaluated.tokens
        return Work(TRAIN, {TRAIN: amount}, self._parameters(run), tokens, rows.basis)

    def _parameters(self, run: str) -> float:
        return self._sizes.parameters(self._experiment.root_model(run))

    # ---------------------------------------------------------------- outputs

    def _generation(self, wildcards: Mapping[str, str]) -> Work:
        if self._is_best_again(wildcards):
            return Work(WRITE, parameters=self._parameters(wildcards["run"]))
        rows = together(list(self._expectations.evaluated().values()))
        written = rows.count * rows.response
        return self._writing(wildcards["run"], rows.count * rows.prompt, written, rows.basis)

    def _is_best_again(self, wildcards: Mapping[str, str]) -> bool:
        """Tell whether the last weights are the best ones, whose outputs are there already.

        The evaluation loss of one epoch with a decaying rate is nearly always lowest at its end.
        """
        run, checkpoint = wildcards["run"], wildcards["checkpoint"]
        if checkpoint != "last" or run not in self._experiment.config["runs"]:
            return False
        return self._experiment.resolved_run(run)["training"]["epochs"] <= 1

    def _sampling(self, wildcards: Mapping[str, str]) -> Work:
        run, decoding = wildcards["run"], wildcards["decoding"]
        sets = self._expectations.sampled(run, decoding)
        read = sum(rows.count * rows.prompt for rows in sets.values())
        written = sum(
            self._new_draws(run, decoding, rows.count) * rows.response for rows in sets.values()
        )
        return self._writing(run, read, written, together(list(sets.values())).basis)

    def _writing(self, run: str, read: float, written: float, basis: str) -> Work:
        return Work(WRITE, {READ: read, WRITE: written}, self._parameters(run), written, basis)

    def draws(self, decoding: str) -> float:
        """Return the draws that a decoding makes of one example, in the mean over the arms."""
        spec = self._experiment.config["decodings"][decoding]
        if spec["kind"] == GREEDY:
            return 1
        arms = [len(values) for values in (spec["temperatures"], spec["top_ks"]) if values]
        drawn = sum(arms) if spec.get("arm") == "both" else fmean(arms)
        return drawn * spec.get("rounds", 1)

    def _new_draws(self, run: str, decoding: str, examples: float) -> float:
        """Return the draws of one set that no earlier decoding of the same run has made.

        A smaller pool is a part of a larger one, and the first rounds are the same draws.
        """
        spec = self._experiment.config["decodings"][decoding]
        total = examples * self.draws(decoding)
        shared = 0.0
        for other in self._earlier_decodings(run, decoding):
            rounds = min(spec.get("rounds", 1), other.get("rounds", 1))
            both = min(examples, other["examples_per_set"])
            shared = max(shared, both * rounds * self.draws(decoding) / spec.get("rounds", 1))
        return total - shared

    def _earlier_decodings(self, run: str, decoding: str) -> list[dict]:
        """Return the decodings before this one that draw the same from the same run's pool."""
        config = self._experiment.config
        names = [entry["pool"]["decoding"] for entry in config["selections"].values()
                 if entry["pool"]["run"] == run]  # fmt: skip
        names = list(dict.fromkeys(names))
        before = names[: names.index(decoding)] if decoding in names else []
        decisive = ("kind", "max_new_tokens", "temperatures", "top_ks", "top_k_temperature", "arm")
        mine = config["decodings"][decoding]
        others = [config["decodings"][name] for name in before]
        return [other for other in others
                if all(other.get(key) == mine.get(key) for key in decisive)]  # fmt: skip

    # ---------------------------------------------------------------- scores

    def _answers(self, wildcards: Mapping[str, str]) -> dict[str, Rows]:
        """Return the outputs of a job by dataset kind, as (answers, prompt, response)."""
        config = self._experiment.config
        if "decoding" not in wildcards:
            if self._is_best_again(wildcards):
                return {}
            evaluated = self._expectations.evaluated()
            kinds = {name: self._experiment.datasets[name]["kind"] for name in evaluated}
            return _by_kind(evaluated, kinds)
        run, decoding = wildcards["run"], wildcards["decoding"]
        mixture = self._experiment.mixtures[self._experiment.validation_mixture(run)]
        sets = self._expectations.sampled(run, decoding)
        kinds = {name: config["datasets"][mixture["sets"][name][0]]["kind"] for name in sets}
        distinct = self.draws(decoding) * self._expectations.distinct_share
        answers = {
            name: Rows(rows.count * distinct, rows.prompt, rows.response, rows.basis)
            for name, rows in sets.items()
        }
        return _by_kind(answers, kinds)

    def _entailment(self, answers: Mapping[str, Rows]) -> Work:
        rows = together([answers[kind] for kind in ENTAILED_KINDS if kind in answers])
        sentences = rows.prompt / _TOKENS_PER_SENTENCE
        claims = max(1.0, rows.response / _TOKENS_PER_SENTENCE)
        pairs = rows.count * sentences * claims
        return Work(ENTAIL, {ENTAIL: pairs}, basis="assumed")

    def _judging(self, wildcards: Mapping[str, str]) -> Work:
        rows = self.judged(wildcards)
        return Work(JUDGE, {JUDGE: rows.count}, basis=rows.basis)

    def judged(self, wildcards: Mapping[str, str]) -> Rows:
        """Return the answers to instructions that a judge's job has to have rated."""
        none = Rows(0.0, 0.0, 0.0, "known")
        return self._answers(wildcards).get(INSTRUCTION_KIND, none)


def _by_kind(rows: Mapping[str, Rows], kinds: Mapping[str, str]) -> dict[str, Rows]:
    groups: dict[str, list[Rows]] = {}
    for name, part in rows.items():
        groups.setdefault(kinds[name], []).append(part)
    return {kind: together(parts) for kind, parts in groups.items()}
