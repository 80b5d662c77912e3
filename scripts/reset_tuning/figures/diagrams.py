"""Our drawings of the paper's two diagrams: the two-stage paradigm, and ReSet."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from reset_tuning.figures.style import BLUE, INK, apply_style

_SMALLER = "ReSet-S: 14 samples an example, a weaker judge for selection, 2,000 rows in all"
_MODEL, _DATA, _TEST = "#FFFFFF", "#E8EEF4", "#F3EBDD"


@dataclass(frozen=True)
class _Box:
    x: float
    y: float
    width: float
    text: str
    fill: str
    height: float = 0.9

    @property
    def left(self) -> tuple[float, float]:
        return self.x - self.width / 2, self.y

    @property
    def right(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y

    @property
    def top(self) -> tuple[float, float]:
        return self.x, self.y + self.height / 2

    @property
    def bottom(self) -> tuple[float, float]:
        return self.x, self.y - self.height / 2


def draw_two_stages() -> Figure:
    """Draw both pipelines: which model is tuned on what, and evaluated at which checkpoints."""
    axes = _canvas(11.5, 5.2, "Two stages: does the second one undo the first?")
    for y, name, first, second, model in (
        (3.6, "CD→IF", "context sets\nNQ, MS MARCO, CNN/DM", "instruction sets", "LLaMA-7B"),
        (
            1.2,
            "IF→CD",
            "instructions\n(off the shelf)",
            "context sets\nNQ, MS MARCO, CNN/DM",
            "LLaMA-7B",
        ),
    ):
        tuned = ("context-tuned", "context- and\ninstruction-tuned")
        tuned = tuned if name == "CD→IF" else ("Vicuna-7B", "Vicuna-7B tuned\non context")
        boxes = [_Box(1.9, y, 1.5, model, _MODEL), _Box(5.2, y, 1.8, tuned[0], _MODEL)]
        boxes.append(_Box(8.7, y, 2.0, tuned[1], _MODEL))
        axes.text(0.15, y, name, fontweight="bold", fontsize=13, va="center")
        for box in boxes:
            _draw(axes, box)
        for left, right, data in zip(boxes[:-1], boxes[1:], (first, second), strict=True):
            _arrow(axes, left.right, right.left)
            middle = (left.right[0] + right.left[0]) / 2
            axes.text(middle, y + 0.62, data, ha="center", va="center", fontsize=8.5, color=BLUE)
        for box, when in zip(boxes[1:], ("before", "after: best, last"), strict=True):
            test = _Box(
                box.x,
                y - 1.05,
                3.2,
                f"{when}: instruction following,\nfaithfulness, task",
                _TEST,
                0.6,
            )
            _draw(axes, test, 8)
            _arrow(axes, box.bottom, test.top)
    return axes.figure  # type: ignore[return-value]


def draw_reset() -> Figure:
    """Draw ReSet: sample, judge, select the best, tune on."""
    axes = _canvas(11.5, 4.2, "ReSet: rejection sampling for continued self-instruction tuning")
    boxes = [
        _Box(1.3, 2.6, 2.0, "MTL checkpoint\n(four training sets)", _MODEL),
        _Box(4.1, 2.6, 2.3, "7 samples an example:\ntemperature or top-k\nvaries", _DATA, 1.2),
        _Box(
            7.0,
            2.6,
            2.3,
            "score each sample\n$s_{task} + 2\\,(s_{IF}$ or $s_{faith})$\nLLM judge, NLI, spans",
            _DATA,
            1.2,
        ),
        _Box(
            9.9, 2.6, 2.3, "best sample of each\nexample, until 2,000\nper set: 8,000", _DATA, 1.2
        ),
        _Box(5.6, 0.7, 3.7, "MTL + ReSet\none more epoch, smaller learning rate", _MODEL),
    ]
    for box in boxes:
        _draw(axes, box)
    for left, right in zip(boxes[:4], boxes[1:4], strict=False):
        _arrow(axes, left.right, right.left)
    _arrow(axes, boxes[3].bottom, boxes[4].right, "arc3,rad=-0.25")
    _arrow(axes, boxes[0].bottom, boxes[4].left, "arc3,rad=0.25")
    axes.text(0.2, 0.05, _SMALLER, fontsize=9, color=BLUE)
    return axes.figure  # type: ignore[return-value]


def _canvas(width: float, height: float, title: str) -> Axes:
    apply_style()
    figure = Figure(figsize=(width * 0.8, height * 0.8), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(0, width)
    axes.set_ylim(-0.2, height - 0.6)
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontweight="bold")
    return axes


def _draw(axes: Axes, box: _Box, size: float = 9) -> None:
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner,
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=box.fill,
            edgecolor=INK,
            linewidth=1.1,
        )  # fmt: skip
    )
    axes.text(box.x, box.y, box.text, ha="center", va="center", fontsize=size)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: str = "arc3"
) -> None:
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.2, "connectionstyle": bend}
    axes.annotate("", xy=end, xytext=start, arrowprops=style)
