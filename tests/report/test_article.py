"""The report's prose over all problems: what it says, and that every sentence holds a number."""

import json
import math
import re

import pytest

from hessrun.report.article import conclusion, discussion, lbfgs_sentence, results
from hessrun.report.claims import claims_of
from hessrun.report.groups import grouped


def _said(runs):
    groups = grouped(runs)
    claims = claims_of(groups)
    return results(groups, claims), discussion(groups, claims), conclusion(groups, claims), claims


def _sentences(paragraphs):
    return [sentence for text in paragraphs for sentence in re.split(r"(?<=[.?])\s+(?=[A-Z])", text)]


def test_faster_by_iteration_and_slower_by_the_clock(race):
    found, talked, answer, _ = _said([*race("gd", 40), *race("newton", 4, seconds=100.0)])
    assert found[0].startswith(
        "16 runs of 2 optimizers (gd and newton) on 1 problem with 4 parameters, 8 seeds for each"
    )
    assert "They ended as follows: 16 iterations spent." in found[0]
    assert "a loss of 0.2 (the target fixed in advance) was reached first by newton in 4 iterations" in found[1]
    assert "By iteration, 1 of 1 comparison of a Hessian method" in talked[0]
    assert "at best newton on made (0.111 times the iterations of gd, 95% interval" in talked[0]
    assert "By the clock, 0 of 1 comparison" in talked[2]
    assert answer[0].startswith("By iteration, do Hessian methods train faster? Yes: significantly faster in 1")
    assert answer[2].startswith("By the clock, do Hessian methods train faster? No: significantly faster in 0")


def test_one_seed_makes_no_claim(race):
    *_, answer, claims = _said([*race("gd", 40, seeds=1), *race("newton", 4, seeds=1)])
    assert answer[0].startswith("Whether Hessian methods train faster is not answered: a claim takes 8 distinct seeds")
    assert all(claim.interval is None for claim in claims)


@pytest.mark.parametrize("kind", ["race", "one", "lost", "alone"])
def test_no_sentence_without_a_number(race, make_run, kind):
    runs = {
        "race": lambda: [*race("gd", 40), *race("newton", 4), *race("bfgs", 9), *race("lbfgs", 9), *race("dfp", 12)],
        "one": lambda: [*race("gd", 40, seeds=1), *race("lbfgs", 4, seeds=1)],
        "lost": lambda: [make_run("gd", losses=[1.0, math.nan], state="diverged", status="diverged")],
        "alone": lambda: [make_run("mine", losses=[1.0, 0.5])],
    }[kind]()
    found, talked, answer, _ = _said(runs)
    for sentence in _sentences([*found, *talked, *answer]):
        if not sentence.endswith("?"):
            assert any(c.isdigit() for c in sentence), sentence
        assert "nan" not in sentence.split()
        assert "  " not in sentence


def test_singular_and_plural(race):
    found, talked, *_ = _said(race("gd", 40, seeds=1))
    text = " ".join([*found, *talked])
    assert "1 run of 1 optimizer (gd) on 1 problem" in text
    assert not re.search(r"\b1 (runs|seeds|problems|optimizers|comparisons|assertions)\b", text)


def test_failures_are_counted_by_optimizer(race, make_run):
    bad = [make_run("newton", s, losses=[1.0, math.nan], state="diverged", status="diverged") for s in (0, 1)]
    _, talked, _, _ = _said([*race("gd", 40), *bad])
    assert "Runs that diverged, stalled, failed or were cut short: newton in 2 of 2 runs (2 diverged)." in talked
    assert "0 of 8 runs diverged, stalled or failed." in _said(race("gd", 40))[1]


def test_time_is_said_in_reference_gradients_where_they_were_timed(race):
    runs = race("gd", 40, reference_gradient_seconds=0.5)
    assert "In reference gradients, the median run of each optimizer took: gd 80." in _said(runs)[1]
    assert not any("In reference gradients" in text for text in _said(race("gd", 40))[1])


def test_what_tuning_cost_is_said(race, tmp_path):
    (tmp_path / "tuning").mkdir()
    lines = [
        {"optimizer": "gd", "trials": 6, "runs": 12, "passes": 100.0, "seconds": 3.0},
        {"optimizer": "newton", "trials": 0, "runs": 0, "passes": 0.0, "seconds": 0.0},
        {"optimizer": "damaged"},
    ]
    (tmp_path / "tuning" / "cost.json").write_text(json.dumps(lines))
    runs = race("gd", 40, folder=tmp_path)
    said = "Tuning took 6 trials in 12 runs, 100 passes and 3 optimizer seconds (gd 3 s and newton 0 s)"
    assert any(said in text for text in _said(runs)[1])
    (tmp_path / "tuning" / "cost.json").write_text("{")
    assert not any("Tuning" in text for text in _said(runs)[1])


def test_the_sentence_on_lbfgs(race):
    runs = [*race("bfgs", 10, state_bytes=1000, n=2410), *race("lbfgs", 12, seconds=0.5, state_bytes=100, n=2410)]
    said = lbfgs_sentence(claims_of(grouped(runs)))
    assert said.startswith("a factor of 10 in memory, 2 in time per iteration and 1.6")
    assert "at n = 2,410 parameters (medians paired by seed); it took 1.2" in said
    assert said.endswith("; by the clock it was significantly sooner on 1 and later on 0 of 1 problem.")
    few = lbfgs_sentence(claims_of(grouped([run for run in runs if run.manifest["seed"] < 3])))
    assert few.endswith("with fewer than 8 distinct seeds this is no claim.")
    assert lbfgs_sentence([]) == "an amount that these records do not tell: 0 problems hold runs of both."


def test_an_lbfgs_that_gains_nothing_is_said_to(race):
    runs = [*race("bfgs", 10, state_bytes=100), *race("lbfgs", 20, seconds=5.0, state_bytes=100)]
    said = lbfgs_sentence(claims_of(grouped(runs)))
    assert said.startswith("a factor of less than 1 in all that was measured")
    assert "as much memory" in said
