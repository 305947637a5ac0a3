"""Problems that differ in one number are told together; problems with seeds of their own are not."""

import pytest

from hessrun.report import article
from hessrun.report.contents import contents
from hessrun.report.pictures import Pictures
from hessrun.report.series import is_a_comparison, row_of_series, series_of_problems, told_alone


def on_quadratics(make_run, names=("gd", "newton"), kappas=(10.0, 100.0, 1000.0), seeds=(0,)):
    return [
        make_run(
            name,
            seed,
            losses=[1.0, 0.5, 0.1] if name == "gd" else [1.0, 1e-2, 1e-3],
            details={"condition_number": kappa},
        )
        for kappa in kappas
        for name in names
        for seed in seeds
    ]


def test_three_condition_numbers_are_a_series(make_run, groups_of):
    groups = groups_of(on_quadratics(make_run))
    (family,) = series_of_problems(groups)
    assert len(family) == 3
    assert told_alone(groups) == []
    text = row_of_series(family)
    assert "3 problems" in text
    assert "condition numbers from 10 to 1,000, newton (3 of 3) ended with the lowest training loss" in text
    assert "newton (3 of 3) in iterations" in text
    assert text in article.results(groups, [])


@pytest.mark.parametrize("how", [{"kappas": (10.0, 100.0)}, {"seeds": (0, 1)}])
def test_two_problems_and_problems_with_seeds_are_told_alone(make_run, groups_of, how):
    groups = groups_of(on_quadratics(make_run, **how))
    assert series_of_problems(groups) == []
    assert told_alone(groups) == groups


def test_a_series_of_one_optimizer_has_nothing_to_compare(make_run, groups_of):
    groups = groups_of(on_quadratics(make_run, names=("newton",)))
    assert not any(map(is_a_comparison, groups))
    assert row_of_series(groups).endswith(", 1 optimizer (newton) ran alone on each.")


def test_a_series_without_a_first_order_method_has_no_winner(make_run, groups_of):
    groups = groups_of(on_quadratics(make_run, names=("newton", "bfgs")))
    said = row_of_series(groups)
    assert "lowest" not in said
    assert said.endswith(", no first-order method ran: bfgs and newton were timed, and not compared.")


def test_the_discussion_leaves_a_series_to_its_sentence(tmp_path, make_run, groups_of):
    alone = [make_run(name, losses=[1.0, 0.5], details={"n": 9}) for name in ("gd", "newton")]
    groups = groups_of([*on_quadratics(make_run), *alone])
    sections, _ = contents(groups, [], [], Pictures(tmp_path, ".cache"))
    (discussion,) = [section for section in sections if section.title == "Discussion"]
    assert len(discussion.parts) == 1
