"""A report of compact records says what the report of the whole ones does, thinned or not."""

import json

import numpy as np
import pytest

from hessrun.record import find_runs, read_runs
from hessrun.record.compact import Compaction, compact
from hessrun.record.writer import to_json
from hessrun.report.careful import cautions
from hessrun.report.groups import grouped
from hessrun.report.needed import steps_needed
from hessrun.report.summary import summary


def _groups(root):
    runs, complaints = read_runs(find_runs([root]))
    assert not complaints
    return grouped(runs)


def _told(root):
    return json.loads(to_json([summary(group) for group in _groups(root)]))


@pytest.fixture
def study(tmp_path, write_run):
    for seed in range(3):
        write_run(tmp_path / "whole", "gd", seed, [2 + 0.97**k + seed / 100 for k in range(200)], seconds=0.1)
        write_run(tmp_path / "whole", "bfgs", seed, [2 + 0.9**k + seed / 100 for k in range(150)], seconds=0.3)
        wave = 2 + 0.95 ** np.arange(180) + 0.1 * np.cos(np.arange(180))
        write_run(tmp_path / "whole", "lbfgs", seed, list(wave), seconds=0.2)
    return tmp_path


def _compacted(study, plan):
    groups = _groups(study / "whole")
    needed = steps_needed(groups)
    for run in (run for group in groups for run in group.runs):
        compact(run, study / "small" / run.path.name, plan, needed=needed[run.path])
    return study / "small"


def test_compact_records_give_the_same_report(study):
    assert _told(_compacted(study, Compaction())) == _told(study / "whole")


def test_a_report_says_that_rows_are_thinned(study):
    groups = _groups(_compacted(study, Compaction(rows=12)))
    assert [line for line in cautions(groups, ()) if line.startswith("9 compact records with rows thinned: ")]
    assert not [line for line in cautions(_groups(study / "whole"), ()) if "thinned" in line]


def test_thinned_records_give_the_same_ends_costs_and_equal_budgets(study):
    whole, small = _told(study / "whole"), _told(_compacted(study, Compaction(rows=12)))
    kept = ("target", "equal_budgets", "baseline")
    assert [{key: p[key] for key in kept} for p in small] == [{key: p[key] for key in kept} for p in whole]
    for one, other in zip(small[0]["optimizers"], whole[0]["optimizers"], strict=True):
        assert one["runs"][0]["rows"] < other["runs"][0]["rows"] / 2
        for key in ("end", "median_final_loss", "cost_to_target", "milliseconds_per_iteration"):
            assert one[key] == other[key]
