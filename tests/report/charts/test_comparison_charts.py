"""Charts of the comparison on made-up records: what is drawn where, what is marked at an edge, what is left out."""

import json
import math

import numpy as np
import pytest

from hessrun.record import find_runs, read_runs
from hessrun.report.charts import charts_of, charts_over
from hessrun.report.charts.edges import Edges, Mark, dodged
from hessrun.report.charts.headline import headline
from hessrun.report.charts.profile import common_methods, performance_profiles
from hessrun.report.charts.target import cost_to_target
from hessrun.report.draw import draw
from hessrun.report.groups import Group, grouped
from hessrun.report.interactive import interactive
from hessrun.report.looks import looks
from hessrun.report.titles import short_titles


def _losses(rate, count=60):
    return [2 * rate**k for k in range(count)]


@pytest.fixture
def study(tmp_path, write_run):
    """Two problems whose target, 0.1, gd reaches in 27 iterations, bfgs in 9; newton runs on the first alone."""
    for name in ("easy", "hard"):
        for seed in range(3):
            made = {"name": name, "facts": {"target": 0.1}, "spectra": False}
            write_run(tmp_path, "gd", seed, _losses(0.894), seconds=0.01, **made)
            write_run(tmp_path, "bfgs", seed, _losses(0.7), seconds=0.09, **made)
            stuck = name == "hard" and seed < 2
            write_run(tmp_path, "lbfgs", seed, _losses(0.999 if stuck else 0.7), seconds=0.02, **made)
            if name == "easy":
                write_run(tmp_path, "newton", seed, _losses(0.1), seconds=1.0, **made)
    return _groups(tmp_path)


def _groups(root):
    return grouped(read_runs(find_runs([root]))[0])


def _points(panel, entry, beyond=""):
    found = [s for s in panel.series if (s.entry, s.beyond) == (entry, beyond)]
    return [(float(x), float(y)) for s in found for x, y in zip(s.x, s.y, strict=True)]


def test_cost_to_target_has_a_row_for_each_optimizer_and_counts_misses(study):
    chart = cost_to_target(study[1], "p")
    steps, seconds, passes = chart.panels
    assert steps.y_names == ("lbfgs", "bfgs", "gd")
    assert _points(steps, "gd") == [(27.0, 2.0)]
    assert _points(seconds, "bfgs") == [(pytest.approx(9 * 0.09), 1.0)]
    assert _points(passes, "bfgs") == [(10.0, 1.0)]
    assert _points(steps, "lbfgs") == []
    (missed,) = [s for s in steps.series if s.beyond == "right"]
    assert (missed.entry, missed.notes) == ("lbfgs", ("2 of 3",))
    assert missed.x[0] > 27
    assert "training loss of 0.1, the target fixed in advance" in chart.caption
    assert [p.x_label for p in chart.panels] == ["iterations", "optimizer time (s)", "passes over the data"]


def test_the_cost_of_one_optimizer_alone_is_not_drawn(tmp_path, write_run):
    for seed in range(2):
        write_run(tmp_path, "gd", seed, _losses(0.5), seconds=0.1)
    (group,) = _groups(tmp_path)
    assert cost_to_target(group, "p") is None


def test_a_target_that_nobody_reaches_is_not_drawn(tmp_path, write_run):
    write_run(tmp_path, "gd", 0, [2.0, 1.0], facts={"target": 0.1})
    assert cost_to_target(_groups(tmp_path)[0], "p") is None


def test_headline_draws_paired_ratios_beside_the_baseline(study):
    chart = headline(study, "headline")
    steps, seconds, _ = chart.panels
    assert steps.y_names == ("hard", "easy")
    assert steps.series[0].x.tolist() == [1, 1]
    (easy, hard) = sorted(_points(steps, "bfgs"), key=lambda point: -point[1])
    assert (easy[0], hard[0]) == (pytest.approx(9 / 27), pytest.approx(9 / 27))
    assert 0.5 < easy[1] < 1.5
    assert _points(seconds, "bfgs")[0][0] == pytest.approx(9 * 0.09 / (27 * 0.01))
    (edge,) = _points(steps, "lbfgs", "right")
    assert edge[1] < 0.5
    assert len(_points(steps, "newton")) == 1
    assert "(gd)" in chart.caption


def test_where_the_baseline_misses_a_ratio_stands_at_the_left_edge(tmp_path, write_run):
    write_run(tmp_path, "gd", 0, _losses(0.999), facts={"target": 0.1}, spectra=False)
    write_run(tmp_path, "bfgs", 0, _losses(0.7), facts={"target": 0.1}, spectra=False)
    panel = headline(_groups(tmp_path), "headline").panels[0]
    assert len(_points(panel, "bfgs", "left")) == 1
    assert _points(panel, "bfgs") == []


def test_where_both_miss_in_the_median_there_is_no_ratio(tmp_path, write_run):
    for seed, reached in enumerate((True, False, False)):
        slow = 0.999 - 1e-5 * seed  # as no other seed: alike ones are one observation
        write_run(tmp_path, "gd", seed, _losses(0.9 if reached else slow), facts={"target": 0.1}, spectra=False)
        write_run(tmp_path, "bfgs", seed, _losses(slow), facts={"target": 0.1}, spectra=False)
        write_run(tmp_path, "lbfgs", seed, _losses(0.5), facts={"target": 0.1}, spectra=False)
    panel = headline(_groups(tmp_path), "headline").panels[0]
    assert {s.entry: s.x.size for s in panel.series if s.entry and not s.beyond} == {"bfgs": 0, "lbfgs": 0}
    assert [s.entry for s in panel.series if s.beyond] == ["lbfgs"]


def test_methods_of_few_problems_are_left_out_of_the_headline(tmp_path, write_run):
    for name in ("one", "two", "three"):
        for optimizer in ("gd", "bfgs", *(["sr1", "lbfgs"] if name == "one" else ["lbfgs"] if name == "two" else [])):
            write_run(tmp_path, optimizer, 0, _losses(0.8), name=name, facts={"target": 0.1}, spectra=False)
    chart = headline(_groups(tmp_path), "headline")
    assert {s.entry for s in chart.panels[0].series} == {"", "bfgs", "lbfgs"}
    assert chart.caption.endswith("Of 3 methods, those that ran on half of the problems or more.")


@pytest.mark.parametrize("names", [("bfgs", "lbfgs"), ("gd", "sgd"), ("gd",)])
def test_there_is_no_headline_without_a_baseline_or_a_hessian_method(tmp_path, write_run, names):
    for name in names:
        write_run(tmp_path, name, 0, _losses(0.8), spectra=False)
    assert headline(_groups(tmp_path), "headline") is None


def test_profiles_are_steps_over_the_problems_that_all_ran_on(study):
    methods, problems = common_methods(study)
    assert (methods, len(problems)) == (["bfgs", "gd", "lbfgs"], 2)
    chart = performance_profiles(study, "profiles")
    by_label = {s.label: s for s in chart.panels[0].series}
    assert by_label["bfgs"].y.tolist() == [1.0] * by_label["bfgs"].y.size
    assert (by_label["gd"].y[0], by_label["gd"].y[-1]) == (0.0, 1.0)
    assert by_label["lbfgs"].y[-1] == pytest.approx(4 / 6)
    assert all(np.diff(s.x).min() >= 0 for s in by_label.values())
    assert "over 2 problems" in chart.caption


def test_profiles_take_two_optimizers(tmp_path, write_run):
    write_run(tmp_path, "gd", 0, _losses(0.8), spectra=False)
    assert performance_profiles(_groups(tmp_path), "profiles") is None


def test_every_chart_is_drawn_on_paper_and_in_the_page(study):
    charts = [*charts_over(study), *(c for i, g in enumerate(study) for c in charts_of(g, f"problem{i}"))]
    style = looks(entry.label for group in study for entry in group.entries)
    assert [chart.name for chart in charts] == ["headline", "profiles", "problem0-target", "problem1-target"]
    for chart in charts:
        assert draw(chart, style).files["svg"]
        assert "NaN" not in json.dumps(interactive(chart, style))


def test_settings_of_one_optimizer_are_one_method_of_the_headline(tmp_path, write_run):
    write_run(tmp_path, "gd", 0, _losses(0.9), spectra=False)
    for lr, rate in ((0.1, 0.8), (0.5, 0.6)):
        write_run(tmp_path, "bfgs", 0, _losses(rate), lr=lr, spectra=False)
    panel = headline(_groups(tmp_path), "headline").panels[0]
    assert [s.label for s in panel.series] == ["first order", "bfgs"]


def test_edges_hold_what_is_never_reached():
    edges = Edges.around([1.0, 100.0, math.inf])
    assert edges.low < 1 < 100 < edges.high < math.inf
    marks = [Mark(0, 10.0, (2.0, math.inf)), Mark(1, math.inf, note="2 of 2"), Mark(2, 0.0)]
    inside, low, high = edges.series("bfgs", "bfgs", marks)
    assert (inside.low.tolist(), inside.high.tolist()) == ([2.0], [edges.high])
    assert (low.x.tolist(), low.beyond) == ([edges.low], "left")
    assert (high.x.tolist(), high.y.tolist(), high.beyond, high.notes) == ([edges.high], [1.0], "right", ("2 of 2",))


def test_edges_of_nothing_are_those_around_one():
    edges = Edges.around([math.inf, 0.0])
    assert edges.low < 1 < edges.high


def test_points_of_a_row_stand_apart():
    assert dodged(1) == [0.0]
    assert dodged(3) == pytest.approx([0.3, 0.0, -0.3])


def _group(title, n=10):
    return Group(title, n, 1, None, ())


@pytest.mark.parametrize(
    ("titles", "short"),
    [
        ([("mlp-digits, weight decay 0.001", 10), ("rosenbrock", 2)], ["mlp-digits", "rosenbrock"]),
        ([("mlp (hidden=[8])", 610), ("mlp (hidden=[32])", 2410)], ["mlp, n=610", "mlp, n=2,410"]),
        (
            [("quadratic (kind=a, condition=10.0)", 9), ("quadratic (kind=a, condition=100.0)", 9)],
            ["quadratic, condition=10.0", "quadratic, condition=100.0"],
        ),
        (
            [(f"quadratic (condition={k}, n={n})", 9) for k in (1, 2) for n in (20, 100)],
            [f"quadratic, condition={k}, n={n}" for k in (1, 2) for n in (20, 100)],
        ),
        (
            [("chain, weight decay 1", 9), ("chain, weight decay 2", 9)],
            ["chain, weight decay 1", "chain, weight decay 2"],
        ),
    ],
)  # fmt: skip
def test_short_titles_tell_problems_apart(titles, short):
    groups = [_group(title, n) for title, n in titles]
    assert list(short_titles(groups).values()) == short
