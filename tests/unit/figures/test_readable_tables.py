import subprocess
import sys
from pathlib import Path

import pytest

from reset_tuning.errors import InputError
from reset_tuning.figures.pages import table_page
from reset_tuning.figures.terminal import format_table

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "print_table.py"


def test_the_printed_table(main_csv) -> None:
    assert format_table(main_csv, 100) == (
        "                    instruction\n"
        "system     seeds      following  overall\n"
        "─────────  ─────  ─────────────  ───────\n"
        "zero-shot      1          0.500    0.250\n"
        "w/ MTL         3  0.750 ± 0.012        –\n"
        "\n"
        "Mean ± standard deviation over seeds."
        " Excluded outputs (judge or metric gave no score): 7.\n"
    )


def test_a_narrow_terminal_gets_blocks(main_csv) -> None:
    lines = format_table(main_csv, 36).splitlines()
    assert sum(line.startswith("w/ MTL") for line in lines) == 2
    assert all(len(line) <= 36 for line in lines[:-1])


def test_the_script_prints_without_heavy_imports(main_csv) -> None:
    command = [sys.executable, "-X", "importtime", str(SCRIPT), str(main_csv), "--width", "80"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert "0.750 ± 0.012" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert not imported & {"pandas", "numpy", "matplotlib", "pyarrow"}


def test_a_missing_file_is_one_sentence(tmp_path) -> None:
    command = [sys.executable, str(SCRIPT), str(tmp_path / "none.csv")]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("No such file or directory; build it first")
    assert "Traceback" not in done.stderr


def test_the_page_of_the_main_table_shows_means_and_deviations(main_csv) -> None:
    page = table_page(main_csv, "Main <table>")
    assert "<h1>Main &lt;table&gt;</h1>" in page
    assert "<td>0.750 ± 0.012</td>" in page
    assert "overall n" not in page


def test_the_page_of_another_table_shows_all_columns(tmp_path) -> None:
    path = tmp_path / "row_ledger.csv"
    path.write_text("stage,rule,n_in\nprepare,a & b,3\n")
    page = table_page(path, "Ledger")
    assert "<th>n in</th>" in page
    assert "<td>a &amp; b</td>" in page


def test_a_table_without_rows_is_refused(tmp_path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("label,run\n")
    with pytest.raises(InputError, match="has no rows"):
        table_page(path, "Empty")
