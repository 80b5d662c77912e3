import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import cells, packed_data

from reset_tuning.errors import InputError
from reset_tuning.figures.pages import table_page, write_page
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
    page = table_page(main_csv, "Main <table>", "**Main table.** What *to* see & ``read``.")
    assert "<h1>Main &lt;table&gt;</h1>" in page
    assert "<p>What <em>to</em> see &amp; <code>read</code>.</p>" in page
    assert cells(page) == [
        ["zero-shot", "1", "0.500", "0.250"],
        ["w/ MTL", "3", "0.750 ± 0.012", "–"],
    ]
    meanings = re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page)
    assert [name for name, _ in meanings] == ["n_seeds", "instruction_following", "overall"]
    assert "the judge&#x27;s rating in [0, 1]" in meanings[1][1]


def test_the_page_of_another_table_shows_all_columns_and_what_it_holds(tmp_path) -> None:
    path = tmp_path / "row_ledger.csv"
    path.write_text("stage,rule,n_in\nprepare,a & b,3\n")
    page = table_page(path, "Ledger")
    assert re.findall(r"<th [^>]*><span>(.*?)</span></th>", page) == ["stage", "rule", "n in"]
    assert cells(page) == [["prepare", "a &amp; b", "3"]]
    assert "Row accounting of one stage" in page
    assert "<script" not in page  # three rows need no filters


def test_the_verdict_of_a_claim_stands_beside_its_name(tmp_path) -> None:
    path = tmp_path / "claims.csv"
    path.write_text("claim,contrast,family,verdict\nholds,1,reset,supported\n")
    assert cells(table_page(path, "Claims")) == [["holds", "supported", "1", "reset"]]


def test_a_long_table_is_data_for_the_pages_script(tmp_path) -> None:
    path = tmp_path / "scores.csv"
    rows = [f"mtl,{seed},nq,0.69230769,{seed * 1000}" for seed in range(1, 21)]
    path.write_text("\n".join(["run,seed,dataset,mean,n", *rows]) + "\n")
    page = table_page(path, "Scores")
    data = packed_data(page)
    assert data["rows"][0] == ["mtl", "1", "nq", "0.692", "1000"]
    assert len(data["rows"]) == 20 and not cells(page)
    assert data["kinds"] == ["text", "", "text", "", ""]
    assert re.findall(r"<select data-column=\"(\d)\"", page) == ["1"]  # one run, one dataset


def test_equal_tables_give_equal_pages(main_csv) -> None:
    assert table_page(main_csv, "Main") == table_page(main_csv, "Main")


def test_a_hole_in_the_main_table_has_its_reason_on_the_page(tmp_path) -> None:
    path = tmp_path / "main_table.csv"
    path.write_text(
        "label,n_seeds,note,overall,overall_sd\na,3,,0.5,0.1\nb,2,seed 2 is missing,0.5,0.1\n"
    )
    assert cells(table_page(path, "Main")) == [
        ["a", "3", "0.500 ± 0.100", ""],
        ["b", "2", "0.500 ± 0.100", "seed 2 is missing"],
    ]


def test_a_page_that_the_report_could_not_show_is_told(tmp_path, caplog) -> None:
    write_page("x" * 1_500_000, tmp_path / "short.html")
    assert not caplog.records
    write_page("x" * 1_600_000, tmp_path / "long.html")
    assert "too long for the report" in caplog.text
    assert (tmp_path / "long.html").stat().st_size == 1_600_000


def test_a_table_without_rows_says_so(tmp_path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("label,run\n")
    assert "This table has no rows" in table_page(path, "Empty")
    with pytest.raises(InputError, match="nowhere.csv cannot be read"):
        table_page(tmp_path / "nowhere.csv", "Empty")
