"""Suites by name and by file: in folders, in parts, and what is wrong with them."""

from pathlib import Path

import pytest
import yaml

from hessrun.cli import listing, suite_files
from hessrun.cli.suite_files import read_suites, shipped
from hessrun.errors import OptionError

CELLS = {"cells": [{"optimizer": "sgd"}]}


def write(folder: Path, **files: object) -> None:
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def test_parts_are_read_in_order_beside_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path, whole={"parts": ["sub/inner.yaml", "families", "one.yaml"]}, one=CELLS)
    write(tmp_path / "sub", inner={"parts": ["two.yaml"]}, two=CELLS)
    found = read_suites(str(tmp_path / "whole.yaml"))
    assert [file.name for file in found] == ["two", "families", "one"]
    assert found[0].content == CELLS


def test_a_shipped_suite_may_lie_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "suite" / "study").mkdir(parents=True)
    write(tmp_path / "suite", study={"parts": ["study/small"]})
    write(tmp_path / "suite" / "study", small=CELLS)
    monkeypatch.setattr(suite_files, "conf_folder", lambda: tmp_path)
    monkeypatch.setattr(listing, "conf_folder", lambda: tmp_path)
    assert shipped() == ["study", "study/small"]
    assert [file.name for file in read_suites("study")] == ["study/small"]
    with pytest.raises(OptionError, match="Did you mean 'study/small'"):
        read_suites("study/smal")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"parts": ["whole.yaml"]}, "suite whole.yaml: is a part of itself"),
        ({"parts": ["other.yaml"]}, "is a part of itself"),
        ({"parts": []}, "parts must be a list of the names of suites"),
        ({"parts": "families"}, "parts must be a list of the names of suites"),
        ({"parts": ["families"], "base": ["seed=1"]}, "has parts, and so no base of its own"),
        ({"parts": ["famillies"]}, "Did you mean 'families'?"),
        ({"parts": ["none.yaml"]}, "suite none.yaml: cannot be read"),
        (["families"], "must be a mapping with the key cells, or parts"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, content: object, line: str) -> None:
    write(tmp_path, whole=content, other={"parts": ["whole.yaml"]})
    with pytest.raises(OptionError) as raised:
        read_suites(str(tmp_path / "whole.yaml"))
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
