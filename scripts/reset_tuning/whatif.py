"""What if selection had weighed otherwise: other winners from the same scored pool, no new calls.

The paper gives one weight (2.0) and one judge. Its pool is kept, so the same samples can be chosen
again under other weights, judges and metrics: how many examples would keep another sample?
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reset_tuning.selection import (
    INSTRUCTION_METRIC,
    CountTokens,
    Selection,
    best_samples,
    read_examples,
    read_samples,
    read_scores,
    scored_samples,
)
from reset_tuning.tables import table_schema, with_optional, write_table

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
# Other metrics of the same quantity, by the metric that the config selects with.
OTHER_METRICS = {
    "summac_zs_entailment": "summac_zs",
    "summac_zs": "summac_zs_entailment",
    "span_coverage": "span_coverage_tokens",
    "span_coverage_tokens": "span_coverage",
}
MARGIN_EDGES = (0.0, 1e-9, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, np.inf)
_EXAMPLE = ["example_id", "sample_id"]


@dataclass(frozen=True)
class Pool:
    """One selection's pool of one seed: generation rows, their examples, score rows."""

    selection: Selection
    seed: int
    samples: pd.DataFrame
    examples: pd.DataFrame
    scores: pd.DataFrame

    def rows(self, selection: Selection) -> pd.DataFrame:
        """Return the scored samples under a selection's weights and metrics."""
        return scored_samples(self.samples, self.examples, self.scores, selection)

    def winners(self, selection: Selection) -> pd.DataFrame:
        """Return the best candidate of each example."""
        rows = self.rows(selection)
        return best_samples(rows[rows["is_candidate"]], selection, self.seed)


def read_pool(
    samples: Path,
    pool: Path,
    scores: Sequence[Path],
    selection: Selection,
    seed: int,
    count_tokens: CountTokens | None = None,
) -> Pool:
    """Read one pool as its selection did; `scores` may hold several judges' files."""
    drawn = read_samples(samples, count_tokens)
    return Pool(selection, seed, drawn, read_examples(pool, drawn), read_scores(scores))


def write_what_if(pools: Iterable[Pool], changes: Path, margins: Path, settings: Path) -> None:
    """Write metrics/what_if.csv, selection_margins.csv and selection_settings.csv.

    Pools come one after another: memory holds one of them.
    """
    collected = list(map(_rows_by_table, pools))  # a loop's variable would hold a pool for longer
    paths = {"what_if": changes, "selection_margins": margins, "selection_settings": settings}
    for name, path in paths.items():
        found = [row for rows in collected for row in rows[name]]
        write_table(pd.DataFrame(found, columns=table_schema(name).names), path, name)


def _rows_by_table(pool: Pool) -> dict[str, list[dict[str, Any]]]:
    return {
        "what_if": list(_change_rows(pool)),
        "selection_margins": list(_margin_rows(pool)),
        "selection_settings": list(_setting_rows(pool)),
    }


def alternatives(pool: Pool) -> dict[str, Selection]:
    """Return other ways to weigh the same scores, by what differs."""
    chosen = pool.selection
    found = {
        f"weight {weight:g}": replace(chosen, weight=weight)
        for weight in WEIGHTS
        if weight != chosen.weight
    }
    found["no task score"] = replace(chosen, task_weight=0.0)
    for kind, metric in chosen.faithfulness.items():
        other = OTHER_METRICS.get(metric)
        if other in set(pool.scores["metric"]):
            changed = {**chosen.faithfulness, kind: other}
            found[f"{kind} by {other}"] = replace(chosen, faithfulness=changed)
    ratings = pool.scores[pool.scores["metric"] == INSTRUCTION_METRIC]
    for judge in sorted(set(ratings["scorer"]) - {chosen.judge}):
        found[f"judge {judge}"] = replace(chosen, judge=judge)
    return found


def _change_rows(pool: Pool) -> Iterator[dict[str, Any]]:
    """Compare the winners under every alternative with the config's, set by set."""
    ours = pool.winners(pool.selection)
    for name, alternative in alternatives(pool).items():
        theirs = pool.winners(alternative)[[*_EXAMPLE, "output"]]
        both = ours.merge(theirs, on="example_id", suffixes=("", "_other"))
        both["is_changed"] = both["sample_id"] != both["sample_id_other"]
        both["is_other_text"] = both["output"] != both["output_other"]
        for set_name, group in both.groupby("set"):
            n_changed = int(group["is_changed"].sum())
            yield _named(pool, str(set_name)) | {
                "alternative": name,
                "n_examples": len(group),
                "n_changed": n_changed,
                "share_changed": n_changed / len(group),
                "n_other_text": int(group["is_other_text"].sum()),
            }


def _margin_rows(pool: Pool) -> Iterator[dict[str, Any]]:
    """Count the examples by how far the best sample is ahead of the second best."""
    rows = pool.rows(pool.selection)
    candidates = rows[rows["is_candidate"]].sort_values("selection_score", ascending=False)
    by_example = candidates.groupby(["set", "example_id"])["selection_score"]
    best, second = by_example.nth(0), by_example.nth(1)
    first = candidates.loc[best.index].set_index(["set", "example_id"])["selection_score"]
    next_best = candidates.loc[second.index].set_index(["set", "example_id"])["selection_score"]
    margins = (first - next_best.reindex(first.index)).rename("margin")
    for set_name, group in margins.groupby("set"):
        bins = pd.cut(group, MARGIN_EDGES, right=False)
        counts = bins.value_counts(sort=False)
        yield _named(pool, str(set_name)) | {"margin": "one candidate", "n": int(bins.isna().sum())}
        for interval, count in counts.items():
            label = "tie" if interval.left == 0 else f"{interval.left:.2g} to {interval.right:.2g}"
            yield _named(pool, str(set_name)) | {"margin": label, "n": int(count)}


def _setting_rows(pool: Pool) -> Iterator[dict[str, Any]]:
    """Count how often every decoding setting was drawn, could win, and won.

    A row may stand for draws of several settings: each draw counts for its own, and the win of the
    row is shared evenly, so that no setting wins by coming first.
    """
    rows = pool.rows(pool.selection)
    winners = pool.winners(pool.selection).set_index(_EXAMPLE).index
    is_winner = rows.set_index(_EXAMPLE).index.isin(winners)
    draws = _by_draw(rows.assign(win=is_winner / rows["multiplicity"]))
    for keys, group in draws.groupby(["set", "arm", "temperature", "top_k"]):
        yield _named(pool, str(keys[0])) | {
            "arm": keys[1],
            "temperature": keys[2],
            "top_k": keys[3],
            "n_samples": len(group),
            "n_candidates": int(group["is_candidate"].sum()),
            "n_wins": float(group["win"].sum()),
            "mean_score": float(group["selection_score"].mean()),
        }


def _by_draw(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row for every draw with its own arm, temperature and top-k."""
    lists = {"arm": "arms", "temperature": "temperatures", "top_k": "top_ks"}
    rows = with_optional(rows, "generation")
    for one, all_ in lists.items():
        # Files of before these columns hold only the first draw's setting.
        values = zip(rows[one], rows[all_], rows["multiplicity"], strict=True)
        rows[one] = [many if isinstance(many, list) else [first] * n for first, many, n in values]
    return rows.explode([*lists])


def _named(pool: Pool, set_name: str) -> Mapping[str, Any]:
    return {"selection": pool.selection.name, "seed": pool.seed, "set": set_name}
