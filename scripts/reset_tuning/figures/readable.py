"""Tables as Markdown and LaTeX, for people and papers. Standard library only.

A cell reads "mean ± sd [low, high]"; test sets that no run trains on are in italics; a hole is a
dash, and its reason stands below the table.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from reset_tuning.figures.cells import EMPTY, average_columns, value_columns

Row = dict[str, str]


@dataclass
class Block:
    """One table: a title, a head, rows of text, and the heads and rows that are in italics."""

    title: str
    head: list[str]
    rows: list[list[str]]
    italics: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def number_cell(mean: str, sd: str = "", low: str = "", high: str = "") -> str:
    """Return "0.753 ± 0.022 [0.712, 0.794]", with what there is of it."""
    if not mean:
        return EMPTY
    deviation = f" ± {_digits(sd)}" if sd else ""
    interval = f" [{_digits(low)}, {_digits(high)}]" if low else ""
    return f"{_digits(mean)}{deviation}{interval}"


def _digits(number: str) -> str:
    value = float(number)
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


# ---------------------------------------------------------------- which blocks a table has


def blocks_of(table: str, rows: Sequence[Row], unseen: Iterable[str]) -> list[Block]:
    """Return the blocks of one of the tables of metrics/ by its name."""
    makers: dict[str, Callable[[Sequence[Row], set[str]], list[Block]]] = {
        "main_table": _main_blocks,
        "tradeoff": _tradeoff_blocks,
        "length_split": _length_blocks,
        "checkpoint_scores": _cell_blocks,
        "answer_lengths": _cell_blocks,
        "coverage": _cell_blocks,
        "claims": _claim_blocks,
    }
    if not rows:
        return [Block("", ["no rows"], [])]
    blocks = makers.get(table, _plain_blocks)(rows, set(unseen))
    for block in blocks:
        block.notes = list(dict.fromkeys(block.notes))
    return blocks


def _main_blocks(rows: Sequence[Row], unseen: set[str]) -> list[Block]:
    names, averages = value_columns(rows), average_columns(rows)
    families = ("instruction_following", "faithfulness", "task")
    blocks = [_system_block("Macro-averages over test sets", rows, averages, "", set())]
    for family in families:
        cells = [name for name in names if name.startswith(f"{family}_") and name not in averages]
        title = f"{family.replace('_', ' ').capitalize()} by test set"
        blocks.append(_system_block(title, rows, cells, f"{family}_", unseen))
    failed = [
        [row["label"], *(_failures(row, name) for name in averages)]
        for row in rows
        if any(float(row[f"{name}_failed"] or 0) for name in averages)
    ]
    if failed:
        head = ["system", *map(_spaced, averages)]
        blocks.append(Block("Outputs without a score, per seed, of all", head, failed))
    return blocks


def _failures(row: Row, name: str) -> str:
    failed = float(row[f"{name}_failed"] or 0)
    return f"{failed:g} of {failed + float(row[f'{name}_n'] or 0):g}"


def _system_block(
    title: str, rows: Sequence[Row], names: Sequence[str], prefix: str, unseen: set[str]
) -> Block:
    head = ["system", "seeds", *(_spaced(name.removeprefix(prefix)) for name in names)]
    body = [
        [row["label"], row["n_seeds"], *(_main_cell(row, name) for name in names)] for row in rows
    ]
    notes = [f"{row['label']}: {row['note']}" for row in rows if row["note"]]
    return Block(title, head, body, {_spaced(name) for name in unseen}, notes)


def _main_cell(row: Row, name: str) -> str:
    return number_cell(row[name], row[f"{name}_sd"], row[f"{name}_low"], row[f"{name}_high"])


def _tradeoff_blocks(rows: Sequence[Row], unseen: set[str]) -> list[Block]:
    blocks = []
    for label in _distinct(rows, "label"):
        here = [row for row in rows if row["label"] == label]
        body = []
        for metric in _distinct(here, "metric"):
            stages = {row["checkpoint"]: row for row in here if row["metric"] == metric}
            cells = [
                _cell(stages[name]) if name in stages else EMPTY
                for name in ("start", "best", "last")
            ]
            change = _change_cell(stages["best"])
            body.append([_spaced(metric), *cells, change])
        head = ["average", "before", "after, best", "after, last", "change, best"]
        blocks.append(Block(label, head, body, set(), _notes(here, "checkpoint")))
    return blocks


def _change_cell(row: Row) -> str:
    names = ("change_vs_start", "change_sd", "change_low", "change_high")
    return number_cell(*(row[name] for name in names))


def _cell(row: Row) -> str:
    return number_cell(row["mean"], row["sd"], row["low"], row["high"])


def _notes(rows: Sequence[Row], *names: str) -> list[str]:
    return [
        f"{', '.join(row[name] for name in names)}: {row['note']}" for row in rows if row["note"]
    ]


def _length_blocks(rows: Sequence[Row], unseen: set[str]) -> list[Block]:
    blocks = []
    for label in _distinct(rows, "label"):
        here = [row for row in rows if row["label"] == label]
        body = [
            [
                row["checkpoint"],
                _spaced(row["quantity"]),
                row["bin"],
                f"{float(row['n']):g}",
                _cell(row),
            ]
            for row in here
        ]
        head = ["checkpoint", "quantity", "tokens", "n per seed", "mean"]
        title = f"{label}: {_spaced(here[0]['metric'])}"
        blocks.append(Block(title, head, body, set(), _notes(here, "checkpoint", "bin")))
    return blocks


def _cell_blocks(rows: Sequence[Row], unseen: set[str]) -> list[Block]:
    """Return a block for each metric and scorer: systems down, test sets across."""
    blocks = []
    for metric, scorer in dict.fromkeys((row["metric"], row["scorer"]) for row in rows):
        here = [row for row in rows if (row["metric"], row["scorer"]) == (metric, scorer)]
        datasets = _distinct(here, "dataset")
        found = {(row["run"], row["checkpoint"], row["dataset"]): row for row in here}
        systems = dict.fromkeys((row["run"], row["checkpoint"]) for row in here)
        body = [
            [f"{run}, {at}", *(_cell(found[run, at, name]) if (run, at, name) in found else EMPTY
                               for name in datasets)]
            for run, at in systems
        ]  # fmt: skip
        head = ["system", *map(_spaced, datasets)]
        italics = {_spaced(name) for name in unseen}
        notes = _notes(here, "run", "checkpoint", "dataset")
        blocks.append(Block(f"{_spaced(metric)} ({scorer})", head, body, italics, notes))
    return blocks


def _claim_blocks(rows: Sequence[Row], unseen: set[str]) -> list[Block]:
    head = ["claim", "compared", "expected", "effect", "p (Holm)", "detectable", "verdict"]
    blocks = []
    for family in _distinct(rows, "family"):
        here = [row for row in rows if row["family"] == family]
        body = [_claim_row(row) for row in here]
        notes = [f"{row['claim']}: {row['reason'] or row['note']}" for row in here
                 if row["reason"] or row["note"]]  # fmt: skip
        blocks.append(Block(f"Family {family}", head, body, set(), notes))
    return blocks


def _claim_row(row: Row) -> list[str]:
    margin = f" {float(row['margin']):g}" if row["margin"] else ""
    compared = f"{_spaced(row['quantity'])}: {row['of']}"
    compared += f" − {row['minus']}" if row["minus"] else ""
    return [
        row["statement"] if row["contrast"] == "1" else "and",
        compared,
        row["expect"].replace("_", " ") + margin,
        number_cell(row["effect"], row["sd"], row["low"], row["high"]),
        f"{float(row['p_holm']):.2g}" if row["p_holm"] else EMPTY,
        _digits(row["mde"]) if row["mde"] else EMPTY,
        row["verdict"],
    ]


def _plain_blocks(rows: Sequence[Row], unseen: set[str]) -> list[Block]:
    head = [_spaced(name) for name in rows[0]]
    return [Block("", head, [[cell or EMPTY for cell in row.values()] for row in rows])]


def _distinct(rows: Sequence[Row], name: str) -> list[str]:
    return list(dict.fromkeys(row[name] for row in rows))


def _spaced(name: str) -> str:
    return name.replace("_", " ")


# ---------------------------------------------------------------- Markdown and LaTeX


def to_markdown(blocks: Sequence[Block], title: str) -> str:
    """Return all blocks as one Markdown page."""
    parts = [f"# {title}"]
    for block in blocks:
        if block.title:
            parts.append(f"## {block.title}")
        lines = [_markdown_head(block), "|" + "---|" * len(block.head)]
        lines += ["| " + " | ".join(map(_markdown_text, row)) + " |" for row in block.rows]
        parts.append("\n".join(lines))
        parts += [f"- {_markdown_text(note)}" for note in block.notes]
    if any(block.italics & set(block.head) for block in blocks):
        parts.append("Test sets in italics are unseen: no run trains on the same dataset.")
    return "\n\n".join(parts) + "\n"


def _markdown_head(block: Block) -> str:
    cells = [f"*{name}*" if name in block.italics else name for name in block.head]
    return "| " + " | ".join(cells) + " |"


def _markdown_text(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


_LATEX = str.maketrans(
    {
        "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
        "±": r"$\pm$", "→": r"$\rightarrow$", "−": "$-$", "–": "--", "<": "$<$", ">": "$>$",
        "≥": r"$\geq$", "…": r"\ldots{}", "\n": " ",
    }
)  # fmt: skip


def to_latex(blocks: Sequence[Block], title: str) -> str:
    """Return all blocks as LaTeX tables; they need the package booktabs."""
    lines = [f"% {title}. Needs \\usepackage{{booktabs}}."]
    for block in blocks:
        lines += [r"\begin{table}", r"\centering", r"\small"]
        lines.append(rf"\begin{{tabular}}{{l{'r' * (len(block.head) - 1)}}}")
        lines.append(r"\toprule")
        heads = [_latex_head(name, name in block.italics) for name in block.head]
        lines.append(" & ".join(heads) + r" \\")
        lines.append(r"\midrule")
        lines += [" & ".join(cell.translate(_LATEX) for cell in row) + r" \\" for row in block.rows]
        lines += [r"\bottomrule", r"\end{tabular}"]
        caption = f"{title}: {block.title}" if block.title else title
        if block.italics & set(block.head):
            caption += " Unseen test sets in italics."
        lines.append(rf"\caption{{{caption.translate(_LATEX)}}}")
        lines += [f"% {' '.join(note.split())}" for note in block.notes]
        lines += [r"\end{table}", ""]
    return "\n".join(lines)


def _latex_head(name: str, is_italic: bool) -> str:
    text = name.translate(_LATEX)
    return rf"\textit{{{text}}}" if is_italic else text
