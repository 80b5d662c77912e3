"""What the judges behind an experiment's tables cost: metrics/judge_cost.csv."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from reset_tuning.judging.prices import Price
from reset_tuning.judging.replies import BATCH, LIVE
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
        _cost(str(judge), str(stage), group, Price.of(prices.get(str(judge), {})))
        for (judge, stage), group in first_uses(rows).groupby(["judge", "stage"])
    ]
    write_table(pd.DataFrame(costs, columns=columns), table, "judge_cost")


def first_uses(rows: pd.DataFrame) -> pd.DataFrame:
    """Mark the first row of every reply in the column is_paid: a reply is paid once.

    A failure with tokens was a reply without a text, which was paid for too.
    """
    if rows.empty:
        return rows.assign(stage=pd.Series(dtype="str"))
    has_cost = rows["error"].isna() | rows["prompt_tokens"].notna()
    repeated = rows[has_cost].duplicated(["judge", "request"]).reindex(rows.index)
    return rows.assign(is_paid=has_cost & ~repeated.fillna(True).astype(bool))


def _cost(judge: str, stage: str, rows: pd.DataFrame, price: Price) -> dict[str, object]:
    paid = rows[rows["is_paid"]]
    bought, is_reply = paid["via"].fillna(LIVE), paid["error"].isna()
    tokens = {name: int(paid[name].sum()) for name in ("prompt_tokens", "completion_tokens")}
    return {
        "judge": judge,
        "stage": stage,
        "model": ", ".join(sorted(set(paid["model"]))),
        "n_rows": len(rows),
        "n_replies": int(is_reply.sum()),
        "n_batch_replies": int((is_reply & (bought == BATCH)).sum()),
        "n_failed": int(rows["error"].notna().sum()),
        **tokens,
        "dollars": sum(
            price.dollars(
                int(some["prompt_tokens"].sum()), int(some["completion_tokens"].sum()), via
            )
            for via, some in paid.groupby(bought)
        ),
    }
