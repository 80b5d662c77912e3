"""The claims of the config as contrasts of systems, with a verdict for each (table claims)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from reset_tuning.experiment import UNTRAINED_SEED
from reset_tuning.scoring.failures import MACHINE
from reset_tuning.stats.averages import COLUMNS, Headlines, column_quantity
from reset_tuning.stats.bootstrap import Bootstrap, Estimate, estimate
from reset_tuning.stats.hypotheses import (
    Evidence,
    all_of,
    examples_only,
    holm,
    minimum_detectable_effect,
    verdict,
    weigh,
)
from reset_tuning.stats.length_splits import length_split
from reset_tuning.stats.panels import Panels
from reset_tuning.stats.quantities import Array, Hole, Quantity, difference, pooled_mean

HELD_OUT = "held_out"
UNTESTED = "untested"  # the verdict where there is nothing to test with
_GUESSES = "labels are the machine's guesses and no finding: label labels/failures.csv"
_NO_HELD_OUT = "evaluation.held_out names no judge that selected nothing"
EXPECTED_HOLES = (_GUESSES, _NO_HELD_OUT)
_ONE_SEED = "one seed cannot tell how other trainings would turn out (p_examples: these weights)"
System = Mapping[str, str]


@dataclass(frozen=True)
class Evaluated:
    """What claims are asked of: scores, headline metrics, judges, labels of failures."""

    panels: Panels
    headlines: Headlines
    held_out: Sequence[str] = ()
    failures: pd.DataFrame | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)  # run → why it has no scores

    def contrast(self, spec: Mapping[str, Any]) -> Quantity:
        """Return the effect that a contrast of the config is about; Hole with the reason."""
        for system in (spec["of"], spec.get("minus")):
            if system and system["run"] in self.unknown:
                raise Hole(self.unknown[system["run"]])
        if "labels" in spec:
            return label_difference(self.failures, spec["of"], spec["labels"])
        headlines = self._headlines(self.judge(spec))
        column = COLUMNS[spec["column"]]
        if spec.get("equal_length"):
            return self._at_equal_length(spec, headlines)
        of, minus = (
            column_quantity(self.panels, system["run"], system["checkpoint"], column, headlines)
            for system in (spec["of"], spec["minus"])
        )
        return difference(of, minus)

    def judge(self, spec: Mapping[str, Any]) -> str | None:
        """Return the judge that a contrast names; `held_out` is the first of those, if any."""
        named = spec.get("judge")
        return self.held_out[0] if named == HELD_OUT and self.held_out else named

    def _headlines(self, judge: str | None) -> Headlines:
        if judge == HELD_OUT:
            raise Hole(_NO_HELD_OUT)
        return replace(self.headlines, judge=judge or self.headlines.judge)

    def _at_equal_length(self, spec: Mapping[str, Any], headlines: Headlines) -> Quantity:
        run, column = spec["of"]["run"], COLUMNS[spec["column"]]
        if spec["minus"] != {"run": run, "checkpoint": "start"}:
            raise Hole("a contrast at equal length compares a run with its own start")
        split = length_split(self.panels, run, column, headlines)
        return split.at_equal_length(spec["of"]["checkpoint"])


def label_difference(
    failures: pd.DataFrame | None, system: System, labels: Mapping[str, Sequence[str]]
) -> Quantity:
    """Return the share of failures with labels `of` less the share with labels `minus`.

    `failures` are rows of the table failure_labels. People's labels count where there are any, else
    the machine's guesses, with a note. A failure counts once, with the mean of its annotators'
    labels: more people are no larger sample. Each seed's failures are examples of their own, and no
    other system has them: their names, by which draws are shared, tell system and seed.
    """
    if failures is None or failures.empty:
        raise Hole("no failures are labelled")
    rows = failures[
        (failures["run"] == system["run"]) & (failures["checkpoint"] == system["checkpoint"])
    ]
    people = rows[rows["annotator"] != MACHINE]
    rows, notes = (people, ()) if len(people) else (rows, (_GUESSES,))
    if rows.empty:
        raise Hole(f"no failures of {system['run']} at {system['checkpoint']} are labelled")
    seeds = sorted(rows["seed"].unique().tolist())
    signs = dict.fromkeys(labels["of"], 1.0) | dict.fromkeys(labels["minus"], -1.0)
    arrays: dict[str, Array] = {}
    parts = []
    for place, seed in enumerate(seeds):
        here = rows[rows["seed"] == seed]
        values = here["label"].map(signs).fillna(0.0).groupby(here["item"]).mean().to_numpy()
        array = np.full((len(seeds), len(values)), np.nan)
        array[place] = values
        arrays[f"failures of {system['run']} at {system['checkpoint']}, seed {seed}"] = array
        parts.append(len(values))
    found = pooled_mean(arrays, seeds if seeds != [UNTRAINED_SEED] else (), (-1.0, 1.0))
    return replace(found, n=float(np.mean(parts)), failed=0.0, notes=notes)


@dataclass(frozen=True)
class _Contrast:
    """One contrast of a claim with what was found, or why nothing was."""

    claim: str
    place: int
    spec: Mapping[str, Any]
    quantity: Quantity | None
    hole: str | None = None
    result: Estimate | None = None

    @property
    def margin(self) -> float:
        return float(self.spec.get("margin", 0.0))

    @property
    def obstacle(self) -> str | None:
        """Why this contrast decides nothing, if so."""
        if self.quantity is None:
            return self.hole
        if _GUESSES in self.quantity.notes:
            return _GUESSES
        return _ONE_SEED if len(self.quantity.seeds) == 1 else None

    def evidence(self) -> Evidence:
        assert self.result is not None
        return weigh(self.result.mean, self.result.spread, self.spec["expect"], self.margin)


def claims_table(
    claims: Mapping[str, Mapping[str, Any]],
    evaluated: Evaluated,
    settings: Bootstrap,
    power: float,
) -> pd.DataFrame:
    """Return one row per contrast of every claim, with the claim's verdict on each.

    Adjusted p-values (Holm) are over the claims of one family that could be tested.
    """
    asked = [
        _ask(name, place, spec, evaluated)
        for name, claim in claims.items()
        for place, spec in enumerate(claim["contrasts"], start=1)
    ]
    contrasts = _estimated(asked, settings)
    evidence = _claim_evidence(claims, contrasts)
    adjusted = _adjusted(claims, evidence)
    rows = []
    for contrast in contrasts:
        claim = claims[contrast.claim]
        rows.append(
            _identity(contrast, claim, evaluated.judge(contrast.spec))
            | _numbers(contrast, settings, power)
            | _verdict(contrast.claim, contrasts, evidence, adjusted, settings.level)
        )
    return pd.DataFrame(rows)


def _ask(name: str, place: int, spec: Mapping[str, Any], evaluated: Evaluated) -> _Contrast:
    try:
        return _Contrast(name, place, spec, evaluated.contrast(spec))
    except Hole as hole:
        return _Contrast(name, place, spec, None, str(hole))


def _estimated(asked: Sequence[_Contrast], settings: Bootstrap) -> list[_Contrast]:
    quantities = [contrast.quantity for contrast in asked if contrast.quantity]
    results = iter(estimate(quantities, settings))
    return [
        replace(contrast, result=next(results)) if contrast.quantity else contrast
        for contrast in asked
    ]


def _of_claim(name: str, contrasts: Iterable[_Contrast]) -> list[_Contrast]:
    return [contrast for contrast in contrasts if contrast.claim == name]


def _claim_evidence(
    claims: Mapping[str, Any], contrasts: Sequence[_Contrast]
) -> dict[str, Evidence]:
    """Return the evidence of every claim all of whose contrasts can decide."""
    found = {}
    for name in claims:
        parts = _of_claim(name, contrasts)
        if all(part.obstacle is None for part in parts):
            found[name] = all_of([part.evidence() for part in parts])
    return found


def _adjusted(
    claims: Mapping[str, Mapping[str, Any]], evidence: Mapping[str, Evidence]
) -> dict[str, float]:
    adjusted: dict[str, float] = {}
    for family in dict.fromkeys(claim["family"] for claim in claims.values()):
        names = [name for name in evidence if claims[name]["family"] == family]
        p_values = [min(evidence[name].support, evidence[name].against) for name in names]
        adjusted |= dict(zip(names, holm(p_values), strict=True))
    return adjusted


def _identity(contrast: _Contrast, claim: Mapping[str, Any], judge: str | None) -> dict[str, Any]:
    spec = contrast.spec
    minus = spec.get("minus")
    return {
        "claim": contrast.claim,
        "contrast": contrast.place,
        "family": claim["family"],
        "statement": claim["statement"],
        "source": claim["source"],
        "of": _system(spec["of"]),
        "minus": _system(minus) if minus else None,
        "quantity": _quantity_name(spec, judge),
        "expect": spec["expect"],
        "margin": spec.get("margin"),
    }


def _system(system: System) -> str:
    return f"{system['run']} {system['checkpoint']}"


def _quantity_name(spec: Mapping[str, Any], judge: str | None) -> str:
    if "labels" in spec:
        of, minus = (" or ".join(spec["labels"][side]) for side in ("of", "minus"))
        return f"share of failures: {of}, less {minus}"
    by = f" by judge {judge}" if judge else ""
    return spec["column"] + by + (" at equal length" if spec.get("equal_length") else "")


def _numbers(contrast: _Contrast, settings: Bootstrap, power: float) -> dict[str, Any]:
    quantity, result = contrast.quantity, contrast.result
    if quantity is None or result is None:
        empty = ("n_failed", "effect", "sd", "low", "high", "p", "p_examples", "mde")
        return {"n_seeds": 0, "n": 0.0, **dict.fromkeys(empty), "note": contrast.hole}
    expect, margin = contrast.spec["expect"], contrast.margin
    return {
        "n_seeds": result.n_seeds,
        "n": quantity.n,
        "n_failed": quantity.failed,
        "effect": result.mean,
        "sd": result.sd,
        "low": result.low,
        "high": result.high,
        "p": contrast.evidence().support,
        "p_examples": examples_only(result.mean, result.spread, expect, margin),
        "mde": minimum_detectable_effect(result.spread, settings.level, power),
        "note": "; ".join(quantity.notes) or None,
    }


def _verdict(
    name: str,
    contrasts: Sequence[_Contrast],
    evidence: Mapping[str, Evidence],
    adjusted: Mapping[str, float],
    level: float,
) -> dict[str, Any]:
    if name not in evidence:
        reason = next(part.obstacle for part in _of_claim(name, contrasts) if part.obstacle)
        return {"claim_p": None, "p_holm": None, "verdict": UNTESTED, "reason": reason}
    found = evidence[name]
    said = verdict(found, adjusted[name], level)
    return {
        "claim_p": min(found.support, found.against),
        "p_holm": adjusted[name],
        "verdict": said,
        "reason": None if said != "inconclusive" else "not told from chance at this size",
    }
