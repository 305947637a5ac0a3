"""conf/ and the classes are complete: every YAML instantiates, every optimizer runs."""

import dataclasses

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from hessrun.cli.app import register_sweeper
from hessrun.cli.build import build
from hessrun.cli.listing import groups
from hessrun.errors import OptionError
from hessrun.problems.datasets.dataset import Dataset
from hessrun.run import Loop
from hessrun.run.minimize import _Collector
from hessrun.status import Status

register_sweeper()
FOUND = groups()
SMALL = ["budget.iterations=2", "curvature=off"]


def resolved(*overrides: str) -> dict:
    with initialize_config_module("hessrun.conf", version_base="1.3"):
        config = compose("config", overrides=[*SMALL, *overrides])
    return OmegaConf.to_container(config, resolve=True)


def experiment(*overrides: str):
    choices = dict(o.split("=", 1) for o in overrides)
    return build(resolved(*overrides), choices)


def test_every_choice_says_what_it_is_in_a_line() -> None:
    for group, found in FOUND.items():
        for choice, comment in found.items():
            assert 10 < len(comment) < 100, f"{group}={choice}"


@pytest.mark.parametrize("optimizer", FOUND["optimizer"])
@pytest.mark.parametrize("problem", ["problem=quadratic", "dataset=wine", "dataset=diabetes"])
def test_every_optimizer_runs_on_every_kind_of_problem(optimizer: str, problem: str) -> None:
    made = experiment(f"optimizer={optimizer}", problem)
    if optimizer == "gauss_newton" and problem == "problem=quadratic":
        with pytest.raises(OptionError, match="use optimizer=newton_cg"):
            made.optimizer.init(made.problem)
        return
    collector = _Collector(None)
    outcome = Loop(made.problem, made.optimizer, made.budget, made.probe, collector).run()
    assert outcome.status in (Status.ITERATIONS_SPENT, Status.CONVERGED)  # Newton solves a quadratic in one step
    assert collector.rows[-1]["train_loss"] < collector.rows[0]["train_loss"]


def test_every_field_of_ours_stands_in_its_yaml() -> None:
    for optimizer in FOUND["optimizer"]:
        made = experiment(f"optimizer={optimizer}")
        if type(made.optimizer).__name__ == "TorchOptimizer":
            continue
        keys = set(resolved(f"optimizer={optimizer}")["optimizer"]) - {"_target_", "search_space"}
        assert keys == {f.name for f in dataclasses.fields(made.optimizer)}, optimizer
    config = resolved()
    for group, made in (("budget", experiment().budget), ("curvature", experiment("curvature=auto").probe)):
        assert set(config[group]) - {"_target_"} == {f.name for f in dataclasses.fields(made)}


@pytest.mark.parametrize("schedule", FOUND["schedule"])
def test_every_schedule_drives_a_rate(schedule: str) -> None:
    made = experiment("optimizer=sgd", f"schedule@optimizer.schedule={schedule}")
    assert 0 <= made.optimizer.schedule.factor(3) <= 1


@pytest.mark.parametrize("search", FOUND["line_search"])
def test_every_line_search_is_a_choice(search: str) -> None:
    made = experiment("optimizer=bfgs", f"line_search@optimizer.line_search={search}")
    assert made.optimizer.line_search.c1 == 1e-4


@pytest.mark.parametrize("name", FOUND["experiment"])
def test_every_experiment_is_built_and_lands_in_its_own_folder(name: str) -> None:
    assert experiment(f"experiment={name}").folder.parent.name == name
    assert experiment(f"experiment={name}", "seed=5").folder.name.split("-")[-2] == "s5"


def test_the_identity_is_of_what_changes_the_path() -> None:
    def name(*words: str) -> str:
        return experiment("optimizer=lbfgs", *words).folder.name

    assert name() == name("log_every=5") == name("outputs=elsewhere") == name("budget.iterations=9")
    assert len({name(), name("seed=1"), name("dtype=float32"), name("problem.weight_decay=0.1")}) == 4


def test_cells_of_one_process_share_what_they_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    load = Dataset.load
    monkeypatch.setattr(Dataset, "load", lambda self: read.append(self) or load(self))
    problems = [experiment("dataset=wine", "dataset.split_seed=7", f"seed={seed}").problem for seed in (0, 1, 0)]
    assert len(read) == 1
    assert len({problem.facts.details["fingerprint"] for problem in problems}) == 1
    experiment("dataset=wine", "dataset.split_seed=8")
    assert len(read) == 2
