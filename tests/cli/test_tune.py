"""Tuning: equal trials over each method's own space, the same ones whatever happens in between, winners put to use."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from hessrun.cli.main import main
from hessrun.cli.outcomes import OUTCOMES
from hessrun.cli.study import open_storage
from hessrun.cli.winners import read_winners
from hessrun.optimizers import SGD
from hessrun.record import find_runs, read_run
from hessrun.run import Experiment

SUITE: dict[str, Any] = {
    "base": ["experiment=small", "dataset=digits", "dataset.limit=120", "model=linear", "curvature=off"],
    "product": {"seed": [0, 1], "budget.iterations": [5]},
    "cells": [{"optimizer": "sgd"}, {"optimizer": "lbfgs"}, {"optimizer": "sr1"}],
    "tuning": {"trials": 3, "seeds": [1000, 1001], "overrides": ["budget.iterations=4"]},
    "order": "given",
}
TUNING = Path("outputs") / "small" / "tuning"
PASSES = ("values", "gradients", "products", "hessian_columns")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Runs the command in a folder of its own, in this process: (exit code, what it printed, what it told)."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, suite: dict[str, Any] = SUITE) -> tuple[int, str, str]:
        (tmp_path / "small.yaml").write_text(yaml.safe_dump(suite))
        monkeypatch.setattr(OUTCOMES, "found", [])
        monkeypatch.setattr(OUTCOMES, "expected", 0)
        monkeypatch.setattr(OUTCOMES, "cells", None)
        monkeypatch.setattr(OUTCOMES, "stopped", "")
        capfd.readouterr()
        return main(words), *capfd.readouterr()

    return run


def tried(folder: Path) -> dict[str, list[tuple[dict[str, Any], float]]]:
    """Method -> the settings that were tried and what they reached, in their order."""
    import optuna

    studies = {}
    storage = open_storage(folder)
    for name in optuna.get_all_study_names(storage):
        trials = optuna.load_study(study_name=name, storage=storage).trials
        studies[name.split()[0]] = [(trial.params, trial.value) for trial in trials]
    storage.engine.dispose()
    return studies


def test_each_method_gets_the_same_number_of_trials_and_what_they_cost_is_counted(command, tmp_path: Path) -> None:
    code, shown, told = command("tune", "small.yaml")
    assert (code, told) == (0, "")
    found = {winner.optimizer: winner for winner in read_winners(TUNING)}
    assert {name: winner.trials for name, winner in found.items()} == {"sgd": 3, "lbfgs": 3, "sr1": 0}
    assert "nothing to tune" in shown
    folders = {path.name: path for path in find_runs([TUNING / "runs"])}
    assert all(read_run(path).manifest["role"] == "tuning" for path in folders.values())
    assert all(read_run(path).manifest["suite"] == "small" for path in folders.values())
    costs = {cost["optimizer"]: cost for cost in json.loads((TUNING / "cost.json").read_text())}
    for name in ("sgd", "lbfgs"):
        last = [read_run(path).trace[-1] for run, path in folders.items() if run.startswith(f"{name}-")]
        assert len(last) == costs[name]["runs"] == 6
        assert costs[name]["passes"] == pytest.approx(sum(row[key] for row in last for key in PASSES), rel=1e-12)
        assert costs[name]["seconds"] == pytest.approx(sum(row["seconds"] for row in last), rel=1e-12)
        assert costs[name]["winner"] == found[name].overrides
        assert costs[name]["best"] == found[name].best == min(value for _, value in tried(TUNING)[name])
    keys = {"optimizer", "trials", "runs", "passes", "seconds", "best", "select", "winner"}
    assert all(keys <= set(cost) for cost in costs.values())
    assert tried(TUNING)["sgd"][0][0] == {"lr": 0.1, "momentum": 0.9, "batch_size": 64}
    before = (TUNING / "winners.yaml").stat().st_mtime_ns
    assert command("tune", "small.yaml")[0] == 0
    assert (TUNING / "winners.yaml").stat().st_mtime_ns == before


def test_the_value_of_a_setting_is_the_median_of_the_lowest_recorded(command) -> None:
    assert command("tune", "small.yaml")[0] == 0
    runs = [read_run(path) for path in find_runs([TUNING / "runs"])]
    settings, value = tried(TUNING)["lbfgs"][1]
    chosen = [
        run for run in runs if all(run.config["optimizer"].get(key, "no") == found for key, found in settings.items())
    ]
    lowest = [min(row["validation_loss"] for row in run.trace) for run in chosen]
    assert len(lowest) == 2
    assert value == pytest.approx(sum(lowest) / 2, rel=1e-12)


@pytest.mark.slow
def test_the_trials_are_the_same_in_any_order_of_the_methods_and_more_of_them_go_on(command, tmp_path: Path) -> None:
    assert command("tune", "small.yaml", "tuning.trials=6", "outputs=a")[0] == 0
    turned = {**SUITE, "cells": SUITE["cells"][::-1]}
    assert command("tune", "small.yaml", "outputs=b", suite=turned)[0] == 0
    assert command("tune", "small.yaml", "outputs=b", "tuning.trials=6", suite=turned)[0] == 0
    assert tried(Path("a/small/tuning")) == tried(Path("b/small/tuning"))
    assert len(tried(Path("a/small/tuning"))["sgd"]) == 6
    assert command("tune", "small.yaml", "outputs=c", "tuning.sampler_seed=1")[0] == 0
    assert tried(Path("c/small/tuning"))["sgd"][1] != tried(Path("a/small/tuning"))["sgd"][1]


def test_a_suite_is_tuned_first_and_its_cells_have_the_winners(command) -> None:
    code, shown, _ = command("suite", "small.yaml", "--dry-run")
    assert code == 0
    assert "sgd: 3 trials of 2 runs, over lr, momentum, batch_size" in shown
    assert "tuning comes first" in shown
    assert not Path("outputs").exists()
    code, shown, _ = command("suite", "small.yaml")
    assert code == 0
    assert "6 cells: 6 finished" in shown
    winners = {winner.optimizer: winner.overrides for winner in read_winners(TUNING)}
    runs = [read_run(path) for path in find_runs(["outputs"]) if TUNING not in path.parents]
    assert {run.manifest["role"] for run in runs} == {"reporting"}
    assert {run.manifest["suite"] for run in runs} == {"small"}
    assert {run.config["seed"] for run in runs} == {0, 1}
    for run in runs:
        for key, value in winners[run.manifest["optimizer"]["name"]].items():
            assert run.config["optimizer"][key.removeprefix("optimizer.")] == value
    assert "search_space" not in runs[0].config["optimizer"]
    code, shown, _ = command("suite", "small.yaml")
    assert "6 cells: 6 skipped" in shown


def test_a_killed_command_goes_on_with_the_same_trials(command, tmp_path: Path) -> None:
    assert command("tune", "small.yaml", "tuning.trials=8", "outputs=whole")[0] == 0
    words = [sys.executable, "-m", "hessrun", "tune", "small.yaml", "tuning.trials=8", "outputs=cut"]
    process = subprocess.Popen(words, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while process.poll() is None and len(list(tmp_path.glob("cut/small/tuning/runs/*/trace.jsonl"))) < 10:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("cut/small/tuning/winners.yaml").exists()
    assert command("tune", "small.yaml", "tuning.trials=8", "outputs=cut")[0] == 0
    assert tried(Path("cut/small/tuning")) == tried(Path("whole/small/tuning"))
    whole, cut = (
        [(w.optimizer, w.overrides, w.best, w.runs, w.passes) for w in read_winners(Path(name) / "small" / "tuning")]
        for name in ("whole", "cut")
    )
    assert cut == whole


@pytest.mark.parametrize("within", [True, False])
def test_ctrl_c_names_the_command_to_go_on_with(command, monkeypatch: pytest.MonkeyPatch, within: bool) -> None:
    seen: list[int] = []

    def interrupting(experiment: Experiment) -> Any:
        seen.append(1)
        if len(seen) == 3 and not within:
            raise KeyboardInterrupt
        if len(seen) == 3:
            monkeypatch.setattr("hessrun.run.loop.Loop._record", recording)
        return original(experiment)

    def recording(self: Any, *words: Any, **more: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        return record(self, *words, **more)

    from hessrun.cli import trial
    from hessrun.run.loop import Loop

    original, record = trial.run_experiment, Loop._record
    with monkeypatch.context() as patch:
        patch.setattr(trial, "run_experiment", interrupting)
        code, _, told = command("tune", "small.yaml")
    monkeypatch.setattr("hessrun.run.loop.Loop._record", record)
    assert code == 130
    assert "to go on from here: hessrun tune small.yaml" in told
    assert command("tune", "small.yaml")[0] == 0
    assert [len(trials) for trials in tried(TUNING).values()] == [3, 3, 0]


def test_a_setting_that_diverges_is_infinite_and_one_that_is_refused_leaves_its_method_out(command) -> None:
    wild = {"lr": {"low": 1e307, "high": 1e308, "log": True}, "momentum": None, "batch_size": None}
    refused = {"lr": {"choices": [-1.0, -2.0]}}
    cells = [
        {"optimizer": "gd", "search_space": wild},
        {"optimizer": "adam", "search_space": refused},
        {"optimizer": "lbfgs"},
    ]
    code, shown, told = command("tune", "small.yaml", suite={**SUITE, "cells": cells})
    assert code == 2
    assert "adam is not tuned: " in told
    found = {winner.optimizer: winner for winner in read_winners(TUNING)}
    assert set(found) == {"gd", "lbfgs"}
    assert found["gd"].overrides == {}
    assert found["gd"].best == float("inf")
    assert "no trial ended well" in shown
    assert json.loads((TUNING / "cost.json").read_text())[0]["best"] is None
    code, shown, told = command("suite", "small.yaml", suite={**SUITE, "cells": cells})
    assert code == 2
    assert "2 cells of methods that are not tuned are left out" in told
    assert "4 cells: 4 finished" in shown
    assert not list(Path("outputs/small").glob("adam-*"))


def test_a_run_that_ends_above_where_it_began_does_not_win_by_a_dip(command) -> None:
    """Between its oscillations a rate far too large meets low losses of a small split; nobody would keep it."""
    rates = {"lr": {"choices": [0.05, 400.0]}, "momentum": None, "batch_size": None}
    cells = [{"optimizer": "gd", "search_space": rates}]
    assert command("tune", "small.yaml", suite={**SUITE, "cells": cells})[0] == 0
    ended = [read_run(path).trace for path in find_runs(["outputs"]) if "lr" in str(read_run(path).config)]
    above = [rows for rows in ended if rows[-1]["train_loss"] > rows[0]["train_loss"]]
    assert len(above) == 2  # at both seeds, and none of them diverged
    (by_lr,) = [{params["lr"]: value for params, value in trials} for trials in tried(TUNING).values()]
    assert by_lr[400.0] == float("inf")
    assert by_lr[0.05] < float("inf")


def test_a_run_that_fails_is_named_and_tried_again_by_the_same_command(command, monkeypatch) -> None:
    step = SGD.step

    def full(self, problem, state):
        if state.step == 2:
            raise torch.OutOfMemoryError("another job had the device")
        return step(self, problem, state)

    cells = [{"optimizer": "gd"}, {"optimizer": "lbfgs"}]
    with monkeypatch.context() as patch:
        patch.setattr(SGD, "step", full)
        code, _, told = command("tune", "small.yaml", suite={**SUITE, "cells": cells})
    assert code == 1
    assert "gd is not tuned: OutOfMemoryError: another job had the device" in told
    assert "run.log" in told
    assert {winner.optimizer for winner in read_winners(TUNING)} == {"lbfgs"}
    assert command("tune", "small.yaml", suite={**SUITE, "cells": cells})[0] == 0
    assert {winner.optimizer: winner.trials for winner in read_winners(TUNING)} == {"gd": 3, "lbfgs": 3}


def test_a_setting_that_fails_twice_counts_as_infinite(command, monkeypatch) -> None:
    step = SGD.step

    def broken(self, problem, state):
        if self.lr > 1 and state.step == 2:
            raise ZeroDivisionError("at this rate")
        return step(self, problem, state)

    rates = {"lr": {"choices": [0.05, 4.0]}, "momentum": None, "batch_size": None}
    suite = {**SUITE, "cells": [{"optimizer": "gd", "search_space": rates}]}
    monkeypatch.setattr(SGD, "step", broken)
    codes = [command("tune", "small.yaml", suite=suite)[0] for _ in range(3)]  # both seeds fail, one after the other
    assert codes[0] == 1
    assert codes[-1] == 0
    (winner,) = read_winners(TUNING)
    assert winner.overrides == {"optimizer.lr": 0.05}


def test_without_a_validation_split_the_training_loss_is_selected_on(command) -> None:
    base = ["experiment=small", "problem=rosenbrock", "curvature=off"]
    suite = {**SUITE, "base": base, "cells": [{"optimizer": "lbfgs"}, {"optimizer": "gd"}]}
    code, shown, _ = command("tune", "small.yaml", suite=suite)
    assert code == 0
    assert {winner.select for winner in read_winners(TUNING)} == {"train_loss"}
    assert "by train_loss" in shown


def test_methods_of_one_name_are_told_apart_and_what_a_cell_fixes_is_not_searched(command) -> None:
    cells = [{"optimizer": "sgd", "optimizer.momentum": 0.0}, {"optimizer": "sgd", "optimizer.batch_size": 30}]
    code, shown, _ = command("tune", "small.yaml", "--dry-run", suite={**SUITE, "cells": cells})
    assert code == 0
    assert "sgd optimizer.momentum=0.0: 3 trials of 2 runs, over lr, batch_size\n" in shown
    assert "sgd optimizer.batch_size=30: 3 trials of 2 runs, over lr, momentum\n" in shown
    muon = [{"optimizer": "muon", "search_space": {"parts.1.lr": None, "batch_size": None}}]
    assert command("tune", "small.yaml", "tuning.trials=2", suite={**SUITE, "cells": muon})[0] == 0
    (winner,) = read_winners(TUNING)
    assert set(winner.overrides) == {"optimizer.parts.0.lr"}
    code, shown, _ = command("suite", "small.yaml", "tuning.trials=2", suite={**SUITE, "cells": muon})
    assert "2 cells: 2 finished" in shown


def test_a_run_of_an_earlier_larger_budget_counts_up_to_this_one(command, tmp_path: Path) -> None:
    longer = {**SUITE, "tuning": {**SUITE["tuning"], "overrides": ["budget.iterations=9"]}}
    assert command("tune", "small.yaml", suite=longer)[0] == 0
    assert command("tune", "small.yaml")[0] == 0
    among = [winner.passes for winner in read_winners(TUNING) if winner.optimizer == "lbfgs"]
    shutil.rmtree("outputs")
    assert command("tune", "small.yaml")[0] == 0
    assert among == [winner.passes for winner in read_winners(TUNING) if winner.optimizer == "lbfgs"]


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        ("study.db", "cannot be used (file is not a database)"),
        ("winners.yaml", "winners.yaml: damaged (not a list of winners)"),
    ],
)
def test_a_damaged_file_is_one_line_and_moved_away_it_is_made_again(command, damage: str, line: str) -> None:
    assert command("tune", "small.yaml", "tuning.trials=2")[0] == 0
    trials = tried(TUNING)
    (TUNING / "winners.yaml").unlink()
    (TUNING / damage).write_text("nonsense: 1\n" * 300)
    code, _, told = command("tune", "small.yaml", "tuning.trials=2")
    assert code == 2
    assert line in told
    assert told.count("\n") == 1
    (TUNING / damage).unlink()
    assert command("tune", "small.yaml", "tuning.trials=2")[0] == 0
    assert tried(TUNING) == trials


def test_more_trials_of_a_few_choices_are_those_that_are_left(command) -> None:
    suite = {**SUITE, "cells": [{"optimizer": "newton_cg"}]}
    for trials in (2, 4):
        assert command("tune", "small.yaml", f"tuning.trials={trials}", suite=suite)[0] == 0
    (found,) = tried(TUNING).values()
    assert len({tuple(settings.items()) for settings, _ in found}) == 4


@pytest.mark.parametrize("word", ["dry_run=True", "++dry_run=true", "--dry-run"])
def test_a_dry_run_tunes_nothing_however_it_is_written(command, word: str) -> None:
    suite = {**SUITE, "cells": [{"optimizer": "lbfgs"}]}
    assert "tuning comes first" in command("suite", "small.yaml", word, suite=suite)[1]
    assert not Path("outputs").exists()


def test_a_winner_that_is_no_number_is_one_line(command) -> None:
    suite = {**SUITE, "cells": [{"optimizer": "lbfgs"}]}
    assert command("tune", "small.yaml", "tuning.trials=1", suite=suite)[0] == 0
    path = TUNING / "winners.yaml"
    path.write_text(path.read_text().replace("trials: 1\n", "trials: many\n"))
    code, _, told = command("tune", "small.yaml", "tuning.trials=1", suite=suite)
    assert code == 2
    assert "winners.yaml: damaged (trials of an entry must be a number, not 'many')" in told


def test_a_study_that_another_process_holds_is_left_alone(command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command("tune", "small.yaml", "tuning.trials=1")[0] == 0
    code = "import time; from pathlib import Path; from hessrun.record.lock import FolderLock; "
    code += f"lock = FolderLock(Path({str(TUNING)!r})); print('held', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        exit_code, _, told = command("tune", "small.yaml", "tuning.trials=2")
    finally:
        other.kill()
        other.communicate()
    assert exit_code == 2
    assert f"is being run by process {other.pid}" in told


@pytest.mark.parametrize(
    ("words", "changes", "line"),
    [
        (["tune"], {}, "takes a name or a YAML file: families"),
        (["tune", "familie"], {}, "Did you mean 'families'?"),
        (["tune", "families"], {}, "has no tuning, such as"),
        (["tune", "small.yaml", "--foo"], {}, "no option --foo"),
        (["tune", "small.yaml", "tuning.trials=0"], {}, "tuning.trials=0: must be a whole number, 1 or above"),
        (["tune", "small.yaml"], {"tuning": {"seeds": [7]}}, "tuning: needs trials"),
        (["tune", "small.yaml"], {"tuning": {"trials": 3}}, "tuning: needs seeds"),
        (["tune", "small.yaml"], {"tuning": None}, "must be a mapping such as"),
        (["tune", "small.yaml", "tuning.seeds=[7,7]"], {}, "a list of different seeds"),
        (["tune", "small.yaml", "tuning.seeds=[1,7]"], {}, "share 1: what is tuned on a seed cannot be reported"),
        (["suite", "small.yaml", "seed=4,1000"], {}, "share 1000"),
        (["suite", "small.yaml", "seed=range(999,1002)"], {}, "share 1000, 1001"),
        (["tune", "small.yaml", "tuning.select=test_loss"], {}, "one of validation_loss, train_loss, gradient_norm"),
        (["tune", "small.yaml", "tuning.trial=3"], {}, "Did you mean 'trials'?"),
        (["tune", "small.yaml", "tuning.overrides=[fast]"], {}, "must be a list of overrides"),
        (["tune", "small.yaml", "tuning.overrides=['budget.pass=3']"], {}, "budget.pass"),
        (["suite", "small.yaml", "budget.iterations=3,4"], {}, "takes one value of each but the seed"),
        (["tune", "small.yaml"], {"product": {"experiment": ["a", "b"]}}, "need one experiment"),
    ],
)
def test_what_is_wrong_is_one_line(command, tmp_path: Path, words: list[str], changes: dict, line: str) -> None:
    code, _, told = command(*words, suite={**SUITE, **changes})
    assert code == 2
    assert line in told
    assert told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]
