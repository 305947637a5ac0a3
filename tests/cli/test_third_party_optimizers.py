"""Optimizers of torch's, third parties' and the user's own, from configuration and through the command."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from hessrun.cli.app import register_sweeper
from hessrun.cli.build import build_optimizer, without_search_space
from hessrun.errors import OptionError
from hessrun.optimizers import TorchOptimizer
from hessrun.optimizers.schedules import Constant, Cosine
from hessrun.record import find_runs, read_run

register_sweeper()
SGD, MUON, COSINE = "torch.optim.SGD", "torch.optim.Muon", "hessrun.optimizers.Cosine"


def node(*overrides: str) -> dict[str, Any]:
    with initialize_config_module("hessrun.conf", version_base="1.3"):
        config = compose("config", overrides=list(overrides))
    resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    optimizer: dict[str, Any] = without_search_space(resolved)["optimizer"]
    return optimizer


def made(*overrides: str) -> TorchOptimizer:
    optimizer = build_optimizer(node(*overrides))
    assert isinstance(optimizer, TorchOptimizer)
    return optimizer


def test_the_shipped_muon_and_a_word_that_changes_a_part() -> None:
    plain = made("optimizer=muon")
    matrices, rest = plain.parts
    assert (matrices.algorithm, matrices.pattern, matrices.ndim) == (torch.optim.Muon, "*", 2)
    assert (rest.algorithm, rest.pattern, rest.ndim) == (torch.optim.AdamW, "*", None)
    assert (matrices.settings["lr"], rest.settings["lr"], plain.batch_size) == (0.02, 0.003, 64)
    assert plain.minimises == "the objective"
    assert plain.schedule == Constant()
    changed = made(
        "optimizer=muon",
        "optimizer.parts.0.lr=0.1",
        "optimizer.parts.1.weight_decay=0.5",
        "schedule@optimizer.schedule=cosine",
        "optimizer.schedule.steps=7",
    )
    assert changed.parts[0].settings == {**matrices.settings, "lr": 0.1}
    assert changed.minimises == "another function"
    assert isinstance(changed.schedule, Cosine)


def test_parts_of_a_bare_class_take_its_settings() -> None:
    parts = '+optimizer.parts=[{pattern: "*.bias", lr: 0.5}, {}]'
    method = made("optimizer=adam", parts)
    assert method.algorithm is torch.optim.Adam
    assert [(p.pattern, p.algorithm, dict(p.settings)) for p in method.parts] == [
        ("*.bias", None, {"lr": 0.5}),
        ("*", None, {}),
    ]
    assert [p.settings["lr"] for p in method._completed()] == [0.5, 0.003]
    assert [p.settings["betas"] for p in method._completed()] == [[0.9, 0.999]] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"_target_": "hessrun.optimizers.TorchOptimizer"}, "optimizer.parts: needs parts; for one algorithm"),
        ({"_target_": SGD, "parts": {"*": {}}}, "must be a list of mappings such as {pattern:"),
        ({"_target_": SGD, "parts": ["*"]}, "must be a list of mappings such as {pattern:"),
        ({"_target_": SGD, "parts": [{"lrr": 1.0}]}, "SGD has no option 'lrr'"),
        ({"_target_": SGD, "parts": [{"patern": "*"}]}, "SGD has no option 'patern'"),
        ({"_target_": SGD, "parts": [{"pattern": 3}]}, "pattern=3: must be a glob on parameter names"),
        ({"_target_": SGD, "parts": [{"ndim": "two"}]}, "ndim='two': must be a whole number, 0 or above"),
        ({"_target_": SGD, "parts": [{"_target_": "torch.optim.Moun"}]}, "parts.0._target_=torch.optim.Moun: there"),
        ({"_target_": SGD, "parts": [{"_target_": "torch.nn.Linear"}]}, "must be a torch.optim.Optimizer class"),
        ({"_target_": SGD, "parts": [{"_target_": MUON}]}, "nothing is left for the common one"),
        ({"_target_": SGD, "schedule": {"_target_": COSINE, "stepps": 3}}, "optimizer.schedule.stepps"),
        ({"_target_": SGD, "lr": {"_target_": "torch.optim.Nothing"}}, "optimizer.lr._target_=torch.optim.Nothing"),
    ],
)  # fmt: skip
def test_wrong_nodes_are_refused_in_a_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        build_optimizer(given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_setting_that_is_a_class_of_its_own() -> None:
    third_party = pytest.importorskip("pytorch_optimizer")
    method = build_optimizer(
        {
            "_target_": "pytorch_optimizer.SAM",
            "lr": 0.1,
            "base_optimizer": {"_target_": "torch.optim.SGD", "_partial_": True, "momentum": 0.9},
        }
    )
    assert isinstance(method, TorchOptimizer)
    assert method.algorithm is third_party.SAM
    assert method.settings["base_optimizer"].keywords == {"momentum": 0.9}


def hessrun(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "hessrun", *words, "curvature=off", "model=linear"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


MINE = '''
"""x+ = x - lr sign(g), for torch and for hessrun."""

from dataclasses import dataclass

import torch
from hessrun.optimizers import Optimizer, State


class SignDescent(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure):
        loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad.sign(), alpha=group["lr"])
        return loss


@dataclass(frozen=True)
class OurSignDescent(Optimizer[State]):
    lr: float = 0.01

    def init(self, problem):
        return State(x=problem.x0, evaluation=problem.train.evaluate(problem.x0))

    def step(self, problem, state):
        x = state.x - self.lr * state.here.gradient.sign()
        return State(step=state.step + 1, x=x, evaluation=problem.train.evaluate(x), step_size=self.lr)
'''

OWN_YAML = """# sign descent on the weights, SGD on the biases
_target_: hessrun.optimizers.TorchOptimizer
batch_size: null
parts:
  - {_target_: mine.SignDescent, pattern: "*.weight", lr: 0.01}
  - {_target_: torch.optim.SGD, pattern: "*.bias", lr: 0.5, momentum: 0.9}
"""


def losses(folder: Path, name: str) -> list[float]:
    (found,) = (run for run in find_runs([folder]) if run.name.startswith(f"{name}-linear-digits-"))
    values: list[float] = read_run(found).rows["train_loss"].tolist()
    return values


def test_a_class_in_the_working_folder_runs_either_way_and_as_a_part(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    own = tmp_path / "conf" / "optimizer"
    own.mkdir(parents=True)
    (own / "signs.yaml").write_text(OWN_YAML)
    both = "optimizer._target_=mine.SignDescent,mine.OurSignDescent"
    hessrun(tmp_path, "-m", both, "+optimizer.lr=0.02", "budget.iterations=4")
    torchs, ours = (losses(tmp_path / "outputs", name) for name in ("signdescent", "oursigndescent"))
    assert len(torchs) == 5
    assert torchs == ours
    assert torchs[-1] < torchs[0]
    hessrun(tmp_path, "--config-dir", "./conf", "optimizer=signs", "budget.iterations=4")
    assert losses(tmp_path / "outputs", "signs")[-1] < torchs[0]


def test_a_third_party_class_runs(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_optimizer")
    soap = ["optimizer._target_=pytorch_optimizer.SOAP", "+optimizer.lr=0.01", "+optimizer.batch_size=64"]
    hessrun(tmp_path, *soap, "budget.iterations=20")
    found = losses(tmp_path / "outputs", "soap")
    assert found[-1] < found[0]


@pytest.mark.slow
def test_a_third_party_class_that_cannot_run_fails_in_a_line(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_optimizer")
    failed = hessrun(tmp_path, "optimizer._target_=pytorch_optimizer.SophiaH", code=1)
    assert "SophiaH does not run on this problem" in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_parts_that_do_not_fit_the_model_leave_nothing_behind(tmp_path: Path) -> None:
    refused = hessrun(tmp_path, "optimizer=muon", 'optimizer.parts.0.pattern="*.wieght"', code=2)
    assert "no parameter matches '*.wieght' with ndim=2; there are 1.weight [10, 64], 1.bias [10]" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
