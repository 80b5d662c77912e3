"""Reading of YAML files: what is refused, and where it stands."""

from pathlib import Path

import pytest

from reset_tuning.errors import InputError
from reset_tuning.files import read_yaml


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3 is not valid YAML: the key a stands twice"),
        ("a:\n  - b: 1\n    b: 2\n", "line 3 is not valid YAML: the key b stands twice"),
        ("a: {b: 1\n", "is not valid YAML"),
        ("a:\n\tb: 1\n", "line 2 is not valid YAML"),
        ("a: \x07\n", "is not valid YAML"),
    ],
)
def test_yaml_that_reads_otherwise_than_written(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=f"mine.yaml.*{sentence}"):
        read_yaml(file)


def test_other_bytes_than_utf8_are_told(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes("a: é\n".encode("latin-1"))
    with pytest.raises(InputError, match="mine.yaml is not valid YAML"):
        read_yaml(tmp_path / "mine.yaml")


def test_a_number_and_its_text_are_two_keys(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text('1: a\n"1": b\nx: &x {k: 1}\ny: {<<: *x, <<: {l: 2}}\n')
    assert read_yaml(tmp_path / "mine.yaml")["y"] == {"k": 1, "l": 2}


def test_a_key_may_stand_above_what_is_merged(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("a: &x {k: 1, l: 2}\nb: &y {<<: *x, k: 3}\nc: {<<: *y, l: 4}\n")
    assert read_yaml(file)["c"] == {"k": 3, "l": 4}
