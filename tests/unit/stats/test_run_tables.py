import math

import pandas as pd
import pytest

from reset_tuning.errors import InputError
from reset_tuning.stats.ledger import check_ledger, read_ledgers
from reset_tuning.stats.lengths import lengths_table, read_lengths
from reset_tuning.stats.points import point_frame
from reset_tuning.stats.trajectories import read_histories, trajectories_table
from reset_tuning.tables import read_table, write_table


def test_lengths_by_hand(experiment, point) -> None:
    experiment.evaluate("llama-cd", 1, "best", lambda dataset, metric, index: 1.0)
    points = point_frame(
        [point("llama-cd", 1, "best"), point("llama-cd-if", 1, "start", ("llama-cd", 1, "best"))]
    )
    path = experiment.root / "lengths.csv"
    write_table(lengths_table(read_lengths(experiment.generations), points), path, "lengths")
    table = read_table(path, "lengths")
    assert len(table) == 2 * 5
    row = table[(table["run"] == "llama-cd-if") & (table["dataset"] == "nq")].iloc[0]
    assert (row["n"], row["n_empty"]) == (2, 1)
    assert (row["mean_tokens"], row["median_tokens"]) == (15, 15)  # 10 and 20
    assert row["sd_tokens"] == pytest.approx(math.sqrt(50), rel=1e-5)
    assert row["share_at_limit"] == 0.5


def test_lengths_of_a_missing_source_are_refused(experiment, point) -> None:
    experiment.evaluate("llama-cd", 1, "best", lambda dataset, metric, index: 1.0)
    with pytest.raises(InputError, match="evaluate that checkpoint first"):
        lengths_table(read_lengths(experiment.generations), point_frame([point("mtl", 1, "best")]))


def history(run: str, seed: int, losses: list[float]) -> pd.DataFrame:
    rows, lowest = [], math.inf
    for index, loss in enumerate(losses):
        rows.append(
            {
                "run": run,
                "seed": seed,
                "step": 100 * (index + 1),
                "epoch": 0.1 * (index + 1),
                "tokens": 1000 * (index + 1),
                "train_loss": None,
                "eval_loss": loss,
                "perplexity": math.exp(loss),
                "learning_rate": 1e-5,
                "gradient_norm": None,
                "tokens_per_second": 10.0,
                "mfu": None,
                "best": loss < lowest,
            }
        )
        lowest = min(lowest, loss)
    return pd.DataFrame(rows)


def test_trajectories_mark_the_chosen_step(tmp_path) -> None:
    paths = []
    for seed, losses in ((1, [2.0, 1.0, 1.5]), (2, [2.0, 3.0])):
        path = tmp_path / f"seed-{seed}" / "history.csv"
        write_table(history("mtl", seed, losses), path, "history")
        paths.append(path)
    table = tmp_path / "trajectories.csv"
    write_table(trajectories_table(read_histories(paths[::-1])), table, "trajectory")
    rows = read_table(table, "trajectory").set_index(["seed", "step"])
    assert list(rows[rows["chosen"]].index) == [(1, 200), (2, 100)]
    assert rows.loc[(1, 100), "n_seeds"] == 2
    assert rows.loc[(1, 100), "perplexity_sd"] == 0
    assert rows.loc[(1, 300), "n_seeds"] == 1
    assert pd.isna(rows.loc[(1, 300), "perplexity_sd"])
    expected = (math.exp(1.0) + math.exp(3.0)) / 2
    assert rows.loc[(2, 200), "perplexity_mean"] == pytest.approx(expected, rel=1e-5)


def test_an_empty_history_is_refused(tmp_path) -> None:
    path = tmp_path / "history.csv"
    write_table(history("mtl", 1, [1.0]).iloc[:0].astype({"best": bool}), path, "history")
    with pytest.raises(InputError, match="holds no evaluation"):
        read_histories([path])


def ledger(item: str, steps: list[tuple[int, int, int]]) -> pd.DataFrame:
    rows = [
        {"step": index, "rule": f"rule_{index}", "n_in": n_in, "n_dropped": dropped, "n_out": n_out}
        for index, (n_in, dropped, n_out) in enumerate(steps)
    ]
    return pd.DataFrame(rows).assign(stage="prepare", item=item, split="train")


def test_ledgers_that_add_up_are_collected(tmp_path) -> None:
    paths = []
    for item, steps in (("nq", [(9, 2, 7), (7, 0, 7)]), ("dolly", [(5, 5, 0), (0, -4, 4)])):
        path = tmp_path / item / "train.ledger.csv"
        write_table(ledger(item, steps), path, "ledger")
        paths.append(path)
    rows = read_ledgers(paths)
    assert len(rows) == 4
    assert set(rows["item"]) == {"nq", "dolly"}


def test_a_step_that_does_not_add_up_names_the_file(tmp_path) -> None:
    path = tmp_path / "train.ledger.csv"
    write_table(ledger("nq", [(9, 2, 8)]), path, "ledger")
    with pytest.raises(InputError, match=r"train.ledger.csv: .*9 rows in, 2 dropped and 8 out"):
        read_ledgers([path])


def test_a_step_that_does_not_continue_the_last_is_refused() -> None:
    with pytest.raises(InputError, match="takes in 6 rows, but the step before let out 7"):
        check_ledger(ledger("nq", [(9, 2, 7), (6, 0, 6)]), "a file")


@pytest.mark.parametrize("read", [read_histories, read_ledgers, read_lengths])
def test_no_files_at_all_are_refused(read) -> None:
    with pytest.raises(InputError, match="name at least one file"):
        read([])
