"""What the judges behind an experiment's tables cost: metrics/judge_cost.csv."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from reset_tuning.judging.prices import Price
from reset_tuning.judging.replies import BATCH, EMPTY_OUTPUT, LIVE
from reset_tuning.tables import read_table, table_schema, write_table

STAGES = ("generations", "samples")


def tabulate_costs(
    judgments: Mapping[str, Sequence[Path]], prices: Mapping[str, Mapping[str, float]], table: Path
) -> None:
    """Write tokens and dollars by judge and stage from the judgment tables of each stage.

    A reply counts once, however many rows and tables use it: in the first of STAGES that does.
    `prices` are the judges' prices by name; a judge without one costs nothing.
    """
    frames = [
        read_table(path, "judgment").assign(stage=stage)
        for stage in STAGES
        for path in sorted(judgments.get(stage, ()))
    ]
    columns = table_schema("judge_cost").names
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["judge"])
    costs = [
        _cost(str(judge), str(stage), group)
        for (judge, stage), group in with_costs(rows, prices).groupby(["judge", "stage"])
    ]
    write_table(pd.DataFrame(costs, columns=columns), table, "judge_cost")


def with_costs(rows: pd.DataFrame, prices: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Mark the first row of every reply (is_paid), since a reply is paid once, and add its dollars.

    A failure with tokens was a reply without a text, which was paid for too.
    """
    if rows.empty:
        nothing = {"stage": "str", "is_paid": "bool", "dollars": "float"}
        return rows.assign(**{name: pd.Series(dtype=dtype) for name, dtype in nothing.items()})
    has_cost = rows["error"].isna() | rows["prompt_tokens"].notna()
    repeated = rows[has_cost].duplicated(["judge", "request"]).reindex(rows.index)
    rows = rows.assign(is_paid=has_cost & ~repeated.fillna(True).astype(bool))
    known = {judge: Price.of(prices.get(judge, {})) for judge in rows["judge"].unique()}
    bought = rows.fillna({"prompt_tokens": 0, "completion_tokens": 0, "via": LIVE})
    dollars = [
        known[row.judge].dollars(row.prompt_tokens, row.completion_tokens, row.via)
        for row in bought.itertuples()
    ]
    return rows.assign(dollars=dollars)


def _cost(judge: str, stage: str, rows: pd.DataFrame) -> dict[str, object]:
    paid = rows[rows["is_paid"]]
    is_reply = paid["error"].isna()
    is_failed = rows["error"].notna() & (rows["error"] != EMPTY_OUTPUT)  # which is scored unsent
    tokens = {name: int(paid[name].sum()) for name in ("prompt_tokens", "completion_tokens")}
    return {
        "judge": judge,
        "stage": stage,
        "model": ", ".join(sorted(set(paid["model"]))),
        "n_rows": len(rows),
        "n_replies": int(is_reply.sum()),
        "n_batch_replies": int((is_reply & (paid["via"] == BATCH)).sum()),
        "n_failed": int(is_failed.sum()),
        **tokens,
        "dollars": paid["dollars"].sum(),
    }
