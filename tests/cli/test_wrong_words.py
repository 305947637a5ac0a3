"""Wrong commands: one line that says what was wrong and what is allowed, exit code 2, and nothing written."""

from pathlib import Path

import pytest

from hessrun.cli.main import main
from hessrun.cli.outcomes import OUTCOMES

# The words, and what the line must name.
WRONG = [
    ("optimizer=lbfsg", "Did you mean 'lbfgs'?"),
    ("optimizer=newton optimizer.modification=none_", "modification"),
    ("optimizer=", "optimizer"),
    ("optimiser=lbfgs", "optimizer"),
    ("optimizer.memory=0", "memory=0"),
    ("optimizer.memory=2.5", "memory=2.5"),
    ("optimizer.memory=many", "memory"),
    ("optimizer.memori=3", "memory"),
    ("optimizer.initial_scaling=some", "diagonal, every, first, none"),
    ("optimizer.line_search.c1=2", "c1"),
    ("optimizer.line_search.c2=0", "c2"),
    ("optimizer=sgd optimizer.lr=-1", "lr=-1"),
    ("optimizer=sgd optimizer.lr=nan", "lr"),
    ("optimizer=sgd optimizer.lr=fast", "lr"),
    ("optimizer=sgd optimizer.momentum=1.5", "momentum=1.5"),
    ("optimizer=sgd optimizer.batch_size=0", "batch_size=0"),
    ("optimizer=newton_cg optimizer.forcing=2", "forcing=2"),
    ("optimizer=newton_cg optimizer.product_dtype=half", "product_dtype"),
    ("optimizer=newton_cg optimizer.product_batch_size=-5", "product_batch_size=-5"),
    ("optimizer=gauss_newton optimizer.max_trials=0", "max_trials=0"),
    ("optimizer=bfgs optimizer.diagnose=perhaps", "diagnose"),
    ("optimizer._target_=no.such.Class", "no.such.Class"),
    ("optimizer._target_=hessrun.optimizers.Nothing", "Nothing"),
    ("optimizer._target_=os.path.join", "optimizer"),
    ("model=mpl", "Did you mean 'mlp'?"),
    ("model.hidden=32", "hidden"),
    ("model.hidden=[0]", "hidden"),
    ("model.hidden=[-3]", "hidden"),
    ("model.activation=sine", "activation"),
    ("model._target_=torch.nn.Nothing", "Nothing"),
    ("dataset=digit", "Did you mean 'digits'?"),
    ("dataset.limit=0", "limit=0"),
    ("dataset.limit=-1", "limit=-1"),
    ("dataset.validation_fraction=1.5", "validation_fraction"),
    ("dataset=fashion_mnist dataset.data_dir=nowhere dataset.source=/no/such/folder", "/no/such/folder"),
    ("dataset=diabetes loss=cross_entropy", "cross_entropy"),
    ("loss=hinge", "hinge"),
    ("problem=rosenbrok", "Did you mean 'rosenbrock'?"),
    ("problem=quadratic problem.condition_number=0.5", "condition_number=0.5"),
    ("problem=quadratic problem.n=0", "n=0"),
    ("problem.weight_decay=-1", "weight_decay=-1"),
    ("problem.chunk_size=0", "chunk_size=0"),
    ("problem.graph_memory=-1", "graph_memory=-1"),
    ("problem=more_garbow_hillstrom problem.name=bard_", "bard_"),
    ("budget.iterations=-1", "iterations=-1"),
    ("budget.iterations=1.5", "iterations=1.5"),
    ("budget.iterations=null", "nothing would end the run"),
    ("budget.seconds=0", "seconds=0"),
    ("budget.gradient_tolerance=-1e-3", "gradient_tolerance"),
    ("budget.target_loss=inf", "target_loss"),
    ("budget.check_every=0", "check_every=0"),
    ("curvature=exakt", "Did you mean 'exact'?"),
    ("curvature.kind=some", "auto, exact, lanczos, density, off"),
    ("curvature.every=0", "every=0"),
    ("curvature.schedule=often", "logarithmic, every"),
    ("curvature.eigenvalues=0", "eigenvalues=0"),
    ("curvature=off curvature.quasi_newton=true", "curvature=off looks at nothing"),
    ("checkpoints.seconds=0", "seconds=0"),
    ("checkpoints.steps=0", "steps=0"),
    ("seed=-1", "seed=-1"),
    ("seed=one", "seed"),
    ("dtype=float16", "float64, float32"),
    ("device=gpu", "auto, cpu, cuda or cuda:N"),
    ("threads=0", "threads=0"),
    ("log_every=0", "log_every=0"),
    ("progress=loud", "auto, on, off"),
    ("force=maybe", "force"),
    ("schedule=cosine", "schedule: is a part of some optimizers: write schedule@optimizer.schedule=NAME"),
    ("on_error=panic", "continue, stop"),
    ("outputs=", "outputs"),
    ("experiment=edge_of_stabilty", "edge_of_stability"),
    ("--multi-run seed=0,1", "--multi-run"),
    ("--dryrun", "--dryrun"),
    ("lbfgs", "is no verb"),
    ("report nowhere", "there is no such folder"),
    ("report --to here", "--out"),
    ("list optimisers", "optimizer"),
    ("status nowhere", "there is no such folder"),
    ("export", "takes one run"),
    ("export nowhere", "nowhere"),
    ("suite", "families"),
    ("doctor please", "takes no words"),
    ("lst", "Did you mean 'list'"),
    ("list optimizr", "Did you mean 'optimizer'"),
    ("optimizr=sgd", "Did you mean 'optimizer'"),
    ("optimizer=lbfg", "Did you mean 'lbfgs'"),
    ("optimizer=sgd optimizer.lrr=1", "Did you mean 'lr'"),
    ("optimizer=sgd optimizer.lr=", "lr='': must be"),
    ("dtype=float46", "Did you mean 'float64'"),
    ("problem.weight_decay={nothing:0.1}", "no parameter matches 'nothing'"),
    ("optimizer._target_=torch.optim.Foo", "there is no such name"),
    ("optimizer=adam +optimizer.foo=3", "Adam has no option 'foo'"),
    ("+optimizer.foo=3", "takes no such option"),
    ("optimizer._target_=math.sqrt", "refuses its options"),
    ("~optimizer", "optimizer: missing"),
    ("~model", "model: missing"),
    ("~dataset", "dataset: missing"),
    ("~seed", "leave out ~seed"),
    ("optimizer=gd curvature=exact model.hidden=[3000]", "Here that is curvature=lanczos, density or off."),
    ("problem=quadratic optimizer=gauss_newton", "use optimizer=newton_cg"),
    ("optimizer=muon ~optimizer.parts.0", "write the whole list anew"),
    ("problem=more_garbow_hillstrom problem.name=woods", "Did you mean 'wood'"),
    ("problem=rosenbrock optimizer=newton_cg optimizer.product_dtype=float32", "float64 alone"),
    ("model=lenet", "12x12"),
    ("curvature.kind=exacct", "Did you mean 'exact'"),
    ("--multirn", "no such flag"),
    ("dataset=torch", "dataset.dataset._target_: needs a value"),
    ("dataset=memory_mapped dataset.targets=y.npy", "dataset.inputs: needs a value"),
    ("dataset=memory_mapped dataset.inputs=x.npy dataset.targets=y.npy dataset.scale=-1", "dataset.scale=-1"),
    ("dataset=fashion_mnist dataset.in_memory=maybe", "in_memory='maybe': must be true or false"),
    ("report", "no such folder"),
    ("report --outt x", "Did you mean '--out'"),
]


@pytest.mark.parametrize(("words", "named"), WRONG, ids=[words for words, _ in WRONG])
def test_one_line_says_what_was_wrong(words: str, named: str, tmp_path: Path, capfd, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(OUTCOMES, "found", [])
    monkeypatch.setattr(OUTCOMES, "expected", 0)
    code = main(words.split(" "))
    shown, told = capfd.readouterr()
    assert code == 2, shown + told
    assert told.startswith("hessrun: ")
    assert told.count("\n") == 1, told
    assert len(told) < 600
    assert named in told
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


def test_the_table_is_long_enough() -> None:
    assert len(WRONG) >= 60
