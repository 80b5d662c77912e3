import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reset_tuning.errors import InputError
from reset_tuning.figures.style import save_figure
from reset_tuning.figures.tradeoff import draw_tradeoff, spread
from reset_tuning.figures.trajectories import draw_trajectories


def drawings(tradeoff, trajectories):
    return {
        "tradeoff": lambda: draw_tradeoff(tradeoff, "if-to-cd", "IF→CD"),
        "trajectories": lambda: draw_trajectories(trajectories),
    }


@pytest.mark.parametrize("name", ["tradeoff", "trajectories"])
def test_equal_data_gives_equal_bytes(name, tradeoff, trajectories, tmp_path) -> None:
    draw = drawings(tradeoff, trajectories)[name]
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


def test_the_tradeoff_names_its_three_metrics(tradeoff) -> None:
    figure = draw_tradeoff(tradeoff, "if-to-cd", "IF→CD")
    assert sorted(texts(figure)) == [
        "faithfulness, abstractive",
        "faithfulness, extractive",
        "instruction following",
    ]
    assert figure.axes[0].get_title(loc="left") == "IF→CD"
    assert "3 seeds" in figure.axes[0].get_xlabel()


def test_the_tradeoff_draws_means_and_seeds(tradeoff) -> None:
    axes = draw_tradeoff(tradeoff, "if-to-cd", "IF→CD").axes[0]
    drawn = [list(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) == 3]
    assert [pytest.approx([0.8, 0.42, 0.37])] == drawn[:1]
    # Per metric: error bars, and seed points at best and last but not at the one evaluation.
    seed_points = [item for item in axes.collections if len(item.get_offsets()) == 3]
    assert len(seed_points) == 6


def test_one_seed_and_empty_values_are_drawn(tradeoff) -> None:
    tradeoff[["n_seeds", "sd"]] = [1, float("nan")]
    tradeoff["seed_values"] = tradeoff["seed_values"].str.split().str[0]
    tradeoff.loc[tradeoff["metric"] == "faithfulness_abstractive", "mean"] = float("nan")
    figure = draw_tradeoff(tradeoff, "if-to-cd", "IF→CD")
    assert len(texts(figure)) == 2
    assert figure.axes[0].get_xlabel() == "one seed, no deviation"


def test_an_unknown_pipeline_is_refused(tradeoff) -> None:
    with pytest.raises(InputError, match="no pipeline 'cd-to-if'"):
        draw_tradeoff(tradeoff, "cd-to-if", "CD→IF")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=6).map(sorted))
def test_labels_keep_their_distance_and_their_middle(heights) -> None:
    placed = spread(heights, 0.06)
    assert all(high - low >= 0.06 - 1e-9 for low, high in zip(placed, placed[1:], strict=False))
    assert sum(placed) == pytest.approx(sum(heights))


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
