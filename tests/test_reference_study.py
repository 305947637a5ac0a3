"""The committed study: its headline numbers follow from its rows with pandas alone, and a cell runs again as it did."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hessrun.cli.build import build
from hessrun.record import read_run
from hessrun.run import run_experiment
from hessrun.run.provenance import provenance

REFERENCE = Path(__file__).parent.parent / "outputs" / "reference"
RECORDS, REPORT = REFERENCE / "records", REFERENCE / "report"
NUMBERS = json.loads((REPORT / "report.json").read_text())
CLAIMS = {claim["id"]: claim for claim in json.loads((REPORT / "claims.json").read_text())}
PASSES = ["values", "gradients", "products", "hessian_columns"]
AXES = {"step": "step", "seconds": "seconds", "passes": "passes"}
CELL = "bfgs-mlp-wine-s3"
CLOCKS = ("seconds", "seconds_metrics", "seconds_curvature", "seconds_logging")


def rows_of(experiment: str) -> pd.DataFrame:
    """All rows of an experiment, with the optimizer and the seed of each."""
    traces = []
    for trace in sorted((RECORDS / experiment).glob("*/trace.jsonl.gz")):
        manifest = json.loads((trace.parent / "manifest.json").read_text())
        found = pd.read_json(trace, lines=True)
        traces.append(found.assign(optimizer=manifest["optimizer"]["name"], seed=manifest["seed"]))
    return pd.concat(traces).assign(passes=lambda rows: rows[PASSES].sum(axis=1))


@pytest.mark.parametrize(
    ("experiment", "title"),
    [("softmax", "linear-digits, weight decay 0.01"), ("wine", "mlp-wine"), ("breast_cancer", "mlp-breast_cancer")],
)
@pytest.mark.parametrize("axis", AXES)
def test_what_reaching_the_target_cost_follows_from_the_rows(experiment: str, title: str, axis: str) -> None:
    (problem,) = [one for one in NUMBERS["problems"] if one["title"].startswith(title)]
    rows = rows_of(experiment)
    runs = rows.groupby(["optimizer", "seed"])
    reached = rows[rows.train_loss <= problem["target"]["train_loss"]].groupby(["optimizer", "seed"])[axis].first()
    costs = reached.reindex(runs.size().index).fillna(np.inf).groupby("optimizer").median()
    assert len(costs) == len(problem["optimizers"]) >= 6
    for told in problem["optimizers"]:
        expected = told["cost_to_target"][axis]
        assert costs[told["optimizer"]] == pytest.approx(np.inf if expected is None else expected)


def test_the_cost_of_a_step_follows_from_the_rows() -> None:
    """The exponent of seconds over the later half of the runs, against n."""
    rows = rows_of("scaling")
    for name in ("newton", "bfgs", "lbfgs"):
        cost = {}
        for trace in sorted((RECORDS / "scaling").glob(f"{name}-*/trace.jsonl.gz")):
            n = json.loads((trace.parent / "manifest.json").read_text())["problem"]["n_parameters"]
            run = pd.read_json(trace, lines=True)
            late = run[run.step >= run.step.iloc[-1] / 2]
            cost[n] = np.ptp(late.seconds) / np.ptp(late.step)
        top = pd.Series(cost).sort_index().loc[max(cost) / 10 :]
        exponent = np.polyfit(np.log(top.index), np.log(top), 1)[0]
        assert CLAIMS[f"{name}_step_cost"]["numbers"]["exponent"] == pytest.approx(exponent, rel=1e-6)
    assert set(rows.optimizer) == {"newton", "bfgs", "lbfgs"}


@pytest.mark.parametrize(
    ("claim", "number", "low", "high"),
    [
        ("newton_order", "order", 1.8, 2.5),
        ("gradient_descent_order", "order", 0.9, 1.1),
        ("newton_step_cost", "exponent", 2.5, 3.5),
        ("bfgs_step_cost", "exponent", 1.7, 2.3),
        ("lbfgs_step_cost", "exponent", 0.8, 1.2),
        ("condition_newton", "exponent", -0.1, 0.1),
        ("condition_gradient_descent", "exponent", 0.5, 1.2),
    ],
)
def test_the_assertions_come_out_as_mathematics_says(claim: str, number: str, low: float, high: float) -> None:
    assert CLAIMS[claim]["verdict"] == "supported"
    assert low <= CLAIMS[claim]["numbers"][number] <= high


@pytest.mark.parametrize("claim", ["bfgs_symmetric", "bfgs_positive_definite", "bfgs_secant"])
def test_the_matrices_of_bfgs_are_what_theory_asks(claim: str) -> None:
    assert CLAIMS[claim]["verdict"] == "supported"


def test_the_completed_write_up_has_no_placeholder_left() -> None:
    text = (REPORT / "write-up.md").read_text(encoding="utf-8")
    assert "Placeholder" not in text
    assert "outperforms the traditional BFGS algorithm by" in text


def test_the_readme_says_what_the_study_found() -> None:
    text = " ".join((REFERENCE.parent.parent / "README.md").read_text(encoding="utf-8").split())
    iteration, passes, clock = (CLAIMS[f"faster_by_{how}"]["numbers"] for how in ("iteration", "pass", "clock"))
    assert f"significantly in {iteration['faster']} of {iteration['comparisons']} comparisons" in text
    assert f"and lost in {iteration['slower']}." in text
    assert f"they won {passes['faster']} and lost {passes['slower']}" in text
    assert f"**by the clock** {clock['faster']} and {clock['slower']}." in text
    newton, bfgs, lbfgs = (CLAIMS[f"{name}_step_cost"]["numbers"] for name in ("newton", "bfgs", "lbfgs"))
    assert f"grew as n^{newton['exponent']:.2f} ({newton['seconds']:.0f} s at n = {newton['n']:,.0f})" in text
    assert f"of BFGS as n^{bfgs['exponent']:.2f}, of L-BFGS as n^{lbfgs['exponent']:.2f}" in text
    orders = CLAIMS["newton_order"]["numbers"], CLAIMS["gradient_descent_order"]["numbers"]
    softmax = next(value for key, value in orders[0].items() if key.startswith("order: linear-digits"))
    assert f"was {softmax:.2f}, gradient descent's {orders[1]['order']:.2f}" in text
    limited = CLAIMS["lbfgs_over_bfgs"]["numbers"]
    share = f"{limited['time_to_target']:.2f} of its time"
    assert f"1/{1 / limited['memory']:.0f} of BFGS's memory and {share}" in text
    assert f"at {limited['n']:,} parameters" in text
    verdicts = [claim["verdict"] for claim in CLAIMS.values()]
    told = [verdicts.count(verdict) for verdict in ("supported", "contradicted", "not enough data")]
    assert f"{len(verdicts)} assertions tested: {told[0]} supported, {told[1]} contradicted, {told[2]} open" in text
    assert f"{len(list(RECORDS.glob('*/*/manifest.json')))} runs" in text


@pytest.mark.slow
def test_a_cell_runs_again_exactly(tmp_path: Path) -> None:
    """Bitwise on the versions and the processor that it was recorded on; elsewhere there is nothing to compare."""
    (folder,) = RECORDS.joinpath("wine").glob(f"{CELL}-*")
    kept = read_run(folder)
    choices = {"optimizer": kept.manifest["optimizer"]["name"]}
    experiment = build(kept.config | {"outputs": str(tmp_path), "threads": kept.manifest["threads"]}, choices)
    here = provenance(experiment.problem.x0.device)
    differing = [key for key in ("versions", "device_name") if here[key] != kept.manifest[key]]
    if differing:
        pytest.skip(f"recorded with other {' and '.join(differing)}")
    assert experiment.manifest["run_id"] == kept.manifest["run_id"]
    run_experiment(experiment)
    again, before = (
        pd.DataFrame(run.trace).set_index("step").drop(columns=list(CLOCKS))
        for run in (read_run(experiment.folder), kept)
    )
    pd.testing.assert_frame_equal(again.loc[before.index, list(before.columns)], before, rtol=0, atol=0)
