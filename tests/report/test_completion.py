"""`hessrun report --write-up`: the completed copy beside the report, and what is said where there is no place."""

import pytest

from hessrun.cli.main import main

WRITE_UP = """\
# On Hessian methods

The limited-memory BFGS algorithm outperforms the traditional BFGS algorithm by\x20

### Results
Results Placeholder

### Discussion
Discussion Placeholder

### Conclusion
Conclusion Placeholder"""


@pytest.fixture
def study(tmp_path, write_run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        for name, rate in (("gd", 0.9), ("bfgs", 0.6), ("lbfgs", 0.5)):
            write_run(tmp_path / "runs", name, seed, [rate**k for k in range(20)], seconds=rate, spectra=False)
    return tmp_path


def _report(write_up, content):
    write_up.write_text(content, encoding="utf-8")
    return main(["report", "runs", "--out", "out", "--write-up", str(write_up)])


def test_the_copy_holds_the_reports_text_and_links_its_figures(study, without_figures, capsys):
    assert _report(study / "mine.md", WRITE_UP) == 0
    assert (study / "mine.md").read_text(encoding="utf-8") == WRITE_UP
    completed = (study / "out" / "write-up.md").read_text(encoding="utf-8")
    assert "write-up.md" in capsys.readouterr().out
    assert "laceholder" not in completed
    before, after = completed.split("### Results\n")
    assert before.startswith("# On Hessian methods\n")
    assert " BFGS algorithm by a factor of " in before
    results, rest = after.split("\n\n### Discussion\n")
    discussion, conclusion = rest.split("\n\n### Conclusion\n")
    assert results.startswith("6 runs of 3 optimizers")
    assert "\n#### mlp-digits, weight decay 0.001\n" in results
    assert "\n#### What is to be said more exactly\n\n- *" in discussion
    assert conclusion
    linked = [line.split("(")[-1].rstrip(")") for line in completed.splitlines() if line.startswith("![")]
    assert {"figures/headline.svg", "figures/problem1-loss.svg"} <= set(linked)
    assert all((study / "out" / name).is_file() for name in linked)


def test_again_replaces_the_report_and_its_write_up(study, without_figures):
    assert _report(study / "mine.md", WRITE_UP) == 0
    first = (study / "out" / "write-up.md").read_bytes()
    assert _report(study / "mine.md", WRITE_UP) == 0
    assert (study / "out" / "write-up.md").read_bytes() == first


def test_of_some_places_those_are_filled_and_the_others_named(study, without_figures, capsys):
    assert _report(study / "mine.md", "###### Discussion\nTBD\n# Results\nWritten.\n") == 0
    said = capsys.readouterr().err
    for name in ("Results", "Conclusion", "the sentence on L-BFGS"):
        assert f"mine.md: has no place for {name}; the rest is filled in.\n" in said
    completed = (study / "out" / "write-up.md").read_text(encoding="utf-8")
    assert completed.endswith("\n# Results\nWritten.\n")
    assert "\n**What is to be said more exactly**\n" in completed


@pytest.mark.parametrize("content", ["# Results\nWritten.\n", ""])
def test_without_a_place_nothing_is_written(study, capsys, content):
    assert _report(study / "mine.md", content) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "mine.md: has no place to fill" in said
    assert not (study / "out").exists()


def test_a_write_up_that_is_not_there(study, capsys):
    assert main(["report", "runs", "--out", "out", "--write-up", "nowhere.md"]) == 2
    assert capsys.readouterr().err.startswith("hessrun: nowhere.md: cannot be read (No such file or directory)")
    assert not (study / "out").exists()
