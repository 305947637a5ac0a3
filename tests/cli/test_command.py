"""The command as a user types it, in a folder of the user's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hessrun.record import find_runs, read_run


def hessrun(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "hessrun", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_help_version_and_list_teach_without_heavy_imports(tmp_path: Path) -> None:
    assert "hessrun -m optimizer=sgd,newton,bfgs,lbfgs" in hessrun(tmp_path, "--help").stdout
    assert hessrun(tmp_path, "--version").stdout.startswith("hessrun ")
    listed = hessrun(tmp_path, "list").stdout
    assert "L-BFGS: the inverse Hessian" in listed
    heavy = "import sys; from hessrun.cli.main import main; main(['list']); main(['--help']); "
    heavy += "print([m for m in ('torch', 'hydra', 'pandas', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_a_run_leaves_its_record_and_is_found_again(tmp_path: Path) -> None:
    words = ["optimizer=lbfgs", "model=linear", "budget.iterations=3"]
    shown = hessrun(tmp_path, *words).stdout
    assert "next" in shown
    assert "hessrun report outputs/default/lbfgs-linear-digits-s0-" in shown
    (folder,) = find_runs([tmp_path / "outputs"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["outputs"]
    run = read_run(folder)
    assert run.config["optimizer"]["memory"] == 10
    assert run.manifest["problem"]["n_parameters"] == 650
    assert len(run.manifest["run_id"].rpartition("-")[2]) == 8
    assert "already finished" in hessrun(tmp_path, *words).stdout
    hessrun(tmp_path, *words, "force=true")
    assert len(find_runs([tmp_path / "outputs"])) == 2
    hessrun(tmp_path, "export", str(folder))
    weights = torch.load(folder / "weights.pt", weights_only=True)
    assert sum(w.numel() for w in weights.values()) == 650
    (folder / "weights.pt").unlink()
    for damaged in (b"", b"x\n", b"not a checkpoint"):
        (folder / "checkpoint.pt").write_bytes(damaged)
        refused = hessrun(tmp_path, "export", str(folder), code=2)
        assert "damaged" in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert not (folder / "weights.pt").exists()


def test_a_sweep_runs_every_cell_and_the_report_reads_it(tmp_path: Path) -> None:
    sweep = ["-m", "optimizer=sgd,lbfgs", "seed=0,1", "model=linear", "budget.iterations=4", "optimizer.lr=0.1"]
    refused = hessrun(tmp_path, *sweep, code=2)
    assert "optimizer.lr" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    shown = hessrun(tmp_path, *sweep[:-1]).stdout
    assert "4 cells: 4 finished" in shown
    hessrun(tmp_path, "report")
    assert (tmp_path / "outputs" / "report" / "report.html").exists()
    report = json.loads((tmp_path / "outputs" / "report" / "report.json").read_text())
    assert report
    assert len(find_runs([tmp_path / "outputs"])) == 4


def test_a_run_that_diverges_is_a_result(tmp_path: Path) -> None:
    hessrun(tmp_path, "problem=rosenbrock", "optimizer=gd", "optimizer.lr=1e6")
    (folder,) = find_runs([tmp_path / "outputs"])
    assert read_run(folder).state == "diverged"
    assert len(read_run(folder).trace) >= 2


MINE = """
import torch
from hessrun.optimizers import SGD


class Sign(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad.sign(), alpha=group["lr"])
        return loss


class Breaks(SGD):
    def step(self, problem, state):
        raise ValueError("mine, not yours")


class Net(torch.nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.layer = torch.nn.Linear(64, n_outputs)

    def forward(self, x):
        return self.layer(x.flatten(1))
"""


def test_classes_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    own = tmp_path / "conf" / "optimizer"
    own.mkdir(parents=True)
    (own / "sign.yaml").write_text("# mine\n_target_: mine.Sign\nlr: 0.02\n")
    few = ["budget.iterations=3", "curvature=off"]
    hessrun(tmp_path, "optimizer._target_=mine.Sign", "model._target_=mine.Net", *few, "experiment=a")
    hessrun(tmp_path, "--config-dir", "./conf", "optimizer=sign", *few, "experiment=b")
    for name, rate in (("a", 0.01), ("b", 0.02)):
        (folder,) = find_runs([tmp_path / "outputs" / name])
        run = read_run(folder)
        assert folder.name.startswith("sign-")
        assert run.rows["train_loss"].iloc[-1] < run.rows["train_loss"].iloc[0]
        assert run.rows["step_size"].iloc[-1] == rate
    failed = hessrun(tmp_path, "optimizer._target_=mine.Breaks", *few, "experiment=c", code=1)
    assert "ValueError: mine, not yours" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_wrong_input_is_one_line_exit_2_and_nothing_written(tmp_path: Path) -> None:
    """As a user's shell sees it; tests/cli/test_wrong_words.py has the whole table."""
    for words, said in ((["optimizer=lbfg"], "Did you mean 'lbfgs'"), (["report"], "no such folder")):
        done = hessrun(tmp_path, *words, code=2)
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_without_cuda(tmp_path: Path) -> None:
    assert "device=cpu" in hessrun(tmp_path, "device=cuda", code=2).stderr
