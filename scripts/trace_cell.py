"""Tell where a number comes from: trace_cell.py TABLE --row VALUE [VALUE …] --column NAME."""

import argparse
import json
import sys
from pathlib import Path

from reset_tuning.errors import InputError
from reset_tuning.provenance.manifest import read_manifest
from reset_tuning.provenance.telling import trace_record, trace_text
from reset_tuning.provenance.trace import trace


def main(table: Path, row: list[str], column: str | None, root: Path, as_json: bool) -> str:
    folder = table.parent.parent  # results/<experiment>/metrics/<table>.csv
    manifest = read_manifest(folder)
    found = trace(manifest, folder, root, table, row, column)
    if as_json:
        record = trace_record(found, manifest, folder, root)
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    return trace_text(found, manifest, folder, root)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the chain behind a cell of a table.")
    parser.add_argument("table", type=Path, help="a CSV table below metrics/ of an experiment")
    parser.add_argument(
        "--row",
        nargs="+",
        default=[],
        metavar="VALUE",
        help='values that one row alone has, such as "w/ MTL", or column=value',
    )
    parser.add_argument("--column", help="the column; without it the whole row is traced")
    parser.add_argument("--root", type=Path, default=Path("."), help="the workflow's folder")
    parser.add_argument("--json", action="store_true", help="everything, for programs")
    given = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        sys.stdout.write(main(given.table, given.row, given.column, given.root, given.json))
    except InputError as error:
        sys.exit(str(error))
