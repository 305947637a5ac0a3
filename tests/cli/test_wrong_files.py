"""Files that are no dataset: one line that names the file and the fault, exit code 2, and nothing written."""

from pathlib import Path

import numpy as np
import pytest

from hessrun.cli.main import main
from hessrun.cli.outcomes import OUTCOMES

INPUTS, CLASSES = np.arange(40.0).reshape(20, 2), np.arange(20) % 3
HOLED = np.where(INPUTS == 31, np.nan, INPUTS)


@pytest.mark.parametrize(
    ("inputs", "targets", "named"),
    [
        (None, CLASSES, "dataset.inputs=inputs.npy: no such file"),
        (INPUTS, None, "dataset.targets=targets.npy: no such file"),
        (INPUTS.astype(object), CLASSES, "Python objects"),
        (INPUTS * 1j, CLASSES, "complex128; real numbers are needed"),
        (INPUTS, CLASSES[:-1], "20 inputs and 19 targets"),
        (INPUTS, CLASSES - 1, "classes must be from 0 up; found -1"),
        (HOLED, CLASSES, "the inputs hold values that are not finite"),
        ("truncated", CLASSES, "truncated"),
    ],
)
def test_one_line_says_what_is_wrong_with_a_file(
    inputs, targets, named: str, tmp_path: Path, capfd, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(OUTCOMES, "found", [])
    monkeypatch.setattr(OUTCOMES, "expected", 0)
    for name, array in (("inputs.npy", inputs), ("targets.npy", targets)):
        if array is not None:
            np.save(name, INPUTS if isinstance(array, str) else array, allow_pickle=True)
    if isinstance(inputs, str):
        Path("inputs.npy").write_bytes(Path("inputs.npy").read_bytes()[:-8])
    before = sorted(tmp_path.iterdir())
    code = main(["dataset=memory_mapped", "dataset.inputs=inputs.npy", "dataset.targets=targets.npy"])
    shown, told = capfd.readouterr()
    assert code == 2, shown + told
    assert told.startswith("hessrun: ")
    assert told.count("\n") == 1, told
    assert named in told
    assert sorted(tmp_path.iterdir()) == before
