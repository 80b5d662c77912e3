import xml.etree.ElementTree as ElementTree

import pandas as pd
import pytest

from reset_tuning.errors import InputError
from reset_tuning.figures.claims import draw_claims
from reset_tuning.figures.diagrams import draw_reset, draw_two_stages
from reset_tuning.figures.lengths import draw_length_bias, draw_length_split, draw_lengths
from reset_tuning.figures.plane import draw_plane
from reset_tuning.figures.selection import draw_margins, draw_settings
from reset_tuning.figures.stages import draw_stage
from reset_tuning.figures.style import save_figure
from reset_tuning.figures.tradeoff import draw_tradeoff
from reset_tuning.figures.trajectories import draw_trajectories


def drawings(tradeoff, trajectories, cells, claims):
    return {
        "tradeoff": lambda: draw_tradeoff(tradeoff, "if-to-cd", "IF→CD"),
        "trajectories": lambda: draw_trajectories(trajectories),
        "losses": lambda: draw_trajectories(trajectories, "loss"),
        "stage": lambda: draw_stage(cells, "llama-cd", ["span_coverage", "exact_match"], "QA"),
        "claims": lambda: draw_claims(claims),
        "lengths": lambda: draw_lengths(cells, {("llama-cd", "best"): "tuned"}),
        "two stages": draw_two_stages,
        "reset": draw_reset,
    }


NAMES = list(drawings(None, None, None, None))


@pytest.mark.parametrize("name", NAMES)
def test_equal_data_gives_equal_bytes(
    name, tradeoff, trajectories, cells, claims, tmp_path
) -> None:
    draw = drawings(tradeoff, trajectories, cells, claims)[name]
    files = [[tmp_path / f"{turn}.{kind}" for kind in ("svg", "pdf")] for turn in (1, 2)]
    for svg, pdf in files:
        save_figure(draw(), svg, pdf)
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()
        assert b"Date" not in first.read_bytes()
    ElementTree.parse(files[0][0])
    assert not list(tmp_path.glob(".*"))


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_tradeoff_draws_means_and_intervals(tradeoff) -> None:
    figure = draw_tradeoff(tradeoff, "if-to-cd", "IF→CD")
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "IF→CD"
    assert axes.get_xlabel() == "mean over 3 seeds; thin bars span intervals of statistics.level"
    assert texts(figure)[:3] == ["0.80", "0.90", "1.00"]  # start of the three metrics
    heights = [bar.get_height() for bar in axes.patches]
    assert heights[3:6] == pytest.approx([0.42, 0.52, 0.62])  # best
    assert len(axes.collections) == 9  # an interval each


def test_one_seed_and_empty_values_are_drawn(tradeoff) -> None:
    tradeoff[["n_seeds", "sd"]] = [1, float("nan")]
    lost = tradeoff["metric"] == "faithfulness_abstractive"
    tradeoff.loc[lost, "mean"] = float("nan")
    tradeoff.loc[lost, "note"] = "no output of nq has a score"
    figure = draw_tradeoff(tradeoff, "if-to-cd", "IF→CD")
    assert texts(figure).count("no output of nq has a score") == 3
    assert figure.axes[0].get_xlabel().startswith("one seed")


def test_a_checkpoint_that_is_not_evaluated_has_no_bar(tradeoff) -> None:
    rows = tradeoff[tradeoff["checkpoint"] != "last"]
    assert len(draw_tradeoff(rows, "if-to-cd", "IF→CD").axes[0].patches) == 6


def test_bars_differ_without_colour(tradeoff) -> None:
    axes = draw_tradeoff(tradeoff, "if-to-cd", "IF→CD").axes[0]
    looks = {(sum(bar.get_facecolor()[:3]), bar.get_hatch()) for bar in axes.patches}
    assert len(looks) == 3
    brightness = sorted(look[0] for look in looks)
    assert min(b - a for a, b in zip(brightness, brightness[1:], strict=False)) > 0.4


def test_an_unknown_pipeline_is_refused(tradeoff) -> None:
    with pytest.raises(InputError, match="no pipeline 'cd-to-if'"):
        draw_tradeoff(tradeoff, "cd-to-if", "CD→IF")


def test_each_run_has_a_panel_with_its_chosen_steps(trajectories) -> None:
    figure = draw_trajectories(trajectories)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == [
        "llama-cd",
        "llama-cd-if",
        "mtl",
        "vicuna-cd",
    ]
    circles = [line for line in panels[0].lines if len(line.get_xdata()) == 1]
    assert [list(line.get_xdata()) for line in circles] == [[400]] * 3


def test_nothing_to_draw_is_refused(trajectories) -> None:
    with pytest.raises(InputError, match="nothing to draw"):
        draw_trajectories(trajectories.iloc[:0])


def test_a_stage_has_a_panel_per_metric_and_unseen_sets_in_italics(cells) -> None:
    figure = draw_stage(cells, "llama-cd", ["span_coverage", "exact_match"], "QA")
    assert len([axes for axes in figure.axes if axes.get_visible()]) == 2
    styles = {text.get_text(): text.get_fontstyle() for text in figure.legends[0].get_texts()}
    assert styles == {"nq": "normal", "bioasq": "italic"}


def test_a_run_without_scores_says_so(cells) -> None:
    figure = draw_stage(cells, "llama-cd-if", ["span_coverage"], "QA")
    assert "llama-cd-if has no such scores" in texts(figure)[0]


def test_claims_show_verdict_effect_and_reason(claims) -> None:
    said = " ".join(texts(draw_claims(claims)))
    assert "✓ supported, expected > 0\n+0.200 [+0.100, +0.300]" in said
    assert "expected within ±0.02" in said
    assert "no scores" in said


def test_tables_without_rows_give_a_figure_with_the_reason(cells, claims) -> None:
    empty = cells.iloc[:0]
    averages = pd.DataFrame(columns=["run", "checkpoint", "average", "mean", "low", "high"])
    splits = pd.DataFrame(columns=["pipeline", "quantity", "bin"])
    bias = pd.DataFrame(columns=["judge", "run", "checkpoint", "bin"])
    for figure in (
        draw_plane(averages, [], []),
        draw_lengths(empty, {}),
        draw_length_split(splits, "cd-to-if", "CD→IF"),
        draw_length_bias(bias, {}),
        draw_margins(pd.DataFrame()),
        draw_settings(pd.DataFrame()),
        draw_claims(claims.iloc[:0]),
    ):
        assert texts(figure)[0]


def test_the_plane_numbers_systems_and_joins_stages() -> None:
    rows = []
    for run, checkpoint, x, y in (("mtl", "best", 0.7, 0.6), ("cd", "start", 0.1, 0.7),
                                  ("cd", "best", 0.8, 0.2)):  # fmt: skip
        for name, mean in (("faithfulness", x), ("instruction_following", y)):
            rows.append({"run": run, "checkpoint": checkpoint, "average": name, "mean": mean}
                        | {"low": mean - 0.1, "high": mean + 0.1})  # fmt: skip
    systems = [{"label": "w/ MTL", "run": "mtl", "checkpoint": "best"}]
    figure = draw_plane(pd.DataFrame(rows), systems, ["cd"])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["1  w/ MTL", "2  cd, best", "3  cd, start"]
    assert [list(line.get_xdata()) for line in figure.axes[0].lines][0] == [0.1, 0.8]
