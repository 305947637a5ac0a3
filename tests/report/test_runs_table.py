"""The table of all runs: a row each, with the settings in which they differ and no others."""

from hessrun.record import read_run
from hessrun.report.groups import grouped
from hessrun.report.runs_table import runs_table

PLAIN = {"spectra": False, "accuracy": False}


def test_a_row_for_each_run_with_what_sets_it_apart(tmp_path, write_run):
    folders = [
        write_run(tmp_path, "gd", 0, [1.0, 0.5], lr=0.1, **PLAIN),
        write_run(tmp_path, "gd", 0, [1.0, 0.25], lr=0.5, **PLAIN),
        write_run(tmp_path, "newton", 3, [1.0, 9.0], state="diverged", status="diverged", **PLAIN),
    ]
    for folder in folders:
        text = (folder / "config.yaml").read_text() + "budget: {iterations: 1}\ndataset: {data_dir: " + f"{folder}}}\n"
        (folder / "config.yaml").write_text(text)
    table = runs_table(grouped([read_run(folder) for folder in folders]))
    found = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert [row["settings"] for row in found] == ["optimizer.lr=0.1", "optimizer.lr=0.5", ""]
    assert [row["status"] for row in found] == ["iterations spent", "iterations spent", "diverged"]
    assert [row["training loss"] for row in found] == ["0.5", "0.25", "9"]
    assert [row["seed"] for row in found] == ["0", "0", "3"]
    assert {row["reason"] for row in found} == {"Because."}
