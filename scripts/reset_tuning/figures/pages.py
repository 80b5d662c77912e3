"""Self-contained pages for the report, which shows HTML but offers other files for download only.

A page loads nothing: its style, its script and its data stand in it. The report packs a whole page
into an address, and Chromium shows nothing, without a word, when an address is longer than two
million characters. So data are compressed, and `write_page` tells of a page that is too long.
"""

import base64
import gzip
import html
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reset_tuning.figures.cells import read_rows, value_cell, value_columns
from reset_tuning.files import atomic_path
from reset_tuning.tables import describe_table, shown_columns

_TEMPLATES = Path(__file__).parent / "templates"
_FILTERED_ROWS = 12  # tables with more rows get filters
_CHOICES = (2, 40)  # so many distinct texts make a column worth a filter
_LONG_TEXT = 60
_TITLE = r"^\*\*[^*]+\.\*\* "
_MARKS = {"strong": r"\*\*(.+?)\*\*", "code": r"``(.+?)``", "em": r"\*(.+?)\*"}
_INTEGER, _NUMBER = re.compile(r"-?\d+"), re.compile(r"-?\d*\.?\d+(e[-+]?\d+)?")
_LONGEST_ADDRESS = 2_097_152  # characters, in Chromium (url::kMaxURLChars)
_ADDRESS_HEAD = 200


def page(
    title: str, body: str, style: str = "", script: str = "", data: Mapping[str, Any] | None = None
) -> str:
    """Return a whole HTML page; `style` and `script` name files of the templates folder.

    `data` is what the script reads, as compressed JSON in the element `data`.
    """
    css = template("page.css") + (template(style) if style else "")
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>",
            f"<style>\n{css}</style></head>",
            f"<body>\n<h1>{html.escape(title)}</h1>\n{body}",
            _data(data) if data is not None else "",
            f"<script>\n{template('data.js')}{template(script)}</script>" if script else "",
            "</body></html>\n",
        ]
    )


def template(name: str) -> str:
    """Return a file of the templates folder."""
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _data(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return f'<script type="text/plain" id="data">{packed}</script>'


def fits_report(text: str) -> bool:
    """Tell whether the report can show a page: it packs the page into an address."""
    return len(text.encode()) * 4 / 3 + _ADDRESS_HEAD < _LONGEST_ADDRESS


def write_page(text: str, path: Path) -> None:
    """Write a page, and warn when it is too long to be shown within the report."""
    if not fits_report(text):
        logging.warning("%s is too long for the report; open the file itself", path)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


# ---------------------------------------------------------------- tables


def table_page(table: Path, title: str, note: str = "") -> str:
    """Return the page of a CSV table with what it shows, filters, and what its columns mean.

    A table with deviations beside its numbers (the main table) shows label, seeds and "mean ± sd";
    any other shows every column, those first that its declaration puts first. `note` is text for
    the reader. Raises InputError when the file is missing.
    """
    rows = read_rows(table)
    if not rows:  # of trade-offs, say, where the configuration names no pipeline
        return page(title, _note(note) + "<p>This table has no rows: nothing was asked of it.</p>")
    head, body = _cells(table.stem, rows)
    description, meanings = describe_table(table.stem, head)
    kinds = [_kind(list(cells)) for cells in zip(*body, strict=True)]
    is_long = len(body) > _FILTERED_ROWS
    parts = [_note(note)]
    parts.append(_filters(head, body, kinds) if is_long else "")
    parts.append(_table(head, [] if is_long else body, kinds, meanings))
    parts.append(_meanings(description, meanings))
    parts.append(f'<p class="soft">All columns with all digits: <code>{table.name}</code>.</p>')
    data = {"rows": body, "kinds": kinds} if is_long else None
    return page(title, "\n".join(parts), script="table.js" if is_long else "", data=data)


def _note(text: str) -> str:
    """Return a caption, written in the small part of reStructuredText that captions use.

    The title in bold that it may begin with is the page's own.
    """
    shown = html.escape(re.sub(_TITLE, "", text.strip()))
    for name, mark in _MARKS.items():
        shown = re.sub(mark, rf"<{name}>\1</{name}>", shown)
    return f"<p>{shown}</p>"


def _cells(name: str, rows: list[dict[str, str]]) -> tuple[list[str], list[list[str]]]:
    columns = shown_columns(name, value_columns(rows)) if "label" in rows[0] else []
    if not columns:
        head = shown_columns(name, list(rows[0]))
        return head, [[shown_value(row[column]) for column in head] for row in rows]
    cells = [[value_cell(row, name) for name in columns] for row in rows]
    names = [[row["label"], row["n_seeds"]] for row in rows]
    # Why a number is missing or rests on fewer seeds, where one does.
    notes = [[row["note"]] if any(other.get("note") for other in rows) else [] for row in rows]
    head = ["label", "n_seeds", *columns, *(["note"] if notes[0] else [])]
    return head, [sum(parts, []) for parts in zip(names, cells, notes, strict=True)]


def shown_value(text: str) -> str:
    """Return a table's text as people read it: numbers with three decimals or three digits.

    >>> [shown_value(text) for text in ("0.69230769", "12", "1234.5678", "0.00012345", "mtl")]
    ['0.692', '12', '1234.6', '0.000123', 'mtl']
    """
    if _INTEGER.fullmatch(text) or not _NUMBER.fullmatch(text):
        return text
    value = float(text)
    if value == 0 or abs(value) >= 0.001:
        return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"
    return f"{value:.3g}"


def _table(
    head: list[str], body: list[list[str]], kinds: list[str], meanings: Mapping[str, str]
) -> str:
    cells = "".join(
        f'<th class="{kind}" title="{html.escape(meanings.get(name, ""))}">'
        f"<span>{_heading(name)}</span></th>"
        for name, kind in zip(head, kinds, strict=True)
    )
    lines = "\n".join(
        "".join(
            f'<td class="{kind}">{html.escape(cell)}</td>'
            for cell, kind in zip(row, kinds, strict=True)
        ).join(("<tr>", "</tr>"))
        for row in body
    )
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{cells}</tr></thead>\n'
        f"<tbody>\n{lines}\n</tbody></table></div>"
    )


def _kind(cells: list[str]) -> str:
    """Tell columns of numbers ("") from those of short ("text") and long ("long") texts."""
    if all(not cell or _NUMBER.match(cell.lstrip("-–")) or cell == "–" for cell in cells):
        return ""
    return "long" if max(map(len, cells)) > _LONG_TEXT else "text"


def _heading(name: str) -> str:
    return html.escape(name.replace("_", " "))


def _filters(head: list[str], body: list[list[str]], kinds: list[str]) -> str:
    controls = ['<label>search<input type="search" placeholder="words of a row"></label>']
    for place, (name, kind) in enumerate(zip(head, kinds, strict=True)):
        choices = list(dict.fromkeys(row[place] for row in body))
        if _CHOICES[0] <= len(choices) <= _CHOICES[1] and (kind == "text" or name == "seed"):
            options = "".join(f"<option>{html.escape(choice)}</option>" for choice in choices)
            controls.append(
                f'<label>{_heading(name)}<select data-column="{place}">'
                f'<option value="">all</option>{options}</select></label>'
            )
    return f'<div class="filters">{"".join(controls)}<output id="count"></output></div>'


def _meanings(description: str, meanings: Mapping[str, str]) -> str:
    listed = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>"
        for name, text in meanings.items()
    )
    if not description and not listed:
        return ""
    return (
        "<details><summary>What the columns mean</summary>"
        f"<p>{html.escape(description)}</p><dl>{listed}</dl></details>"
    )
