"""`hessrun doctor`: what this machine offers, and whether a tiny run works on it."""

import importlib.util
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hessrun.cli.arguments import parse
from hessrun.errors import HessrunError, OptionError
from hessrun.record.schema import SCHEMA_VERSION

_EXTRAS = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "cells of a sweep side by side"),
    "submitit": ("hydra_plugins.hydra_submitit_launcher", "cells as jobs of Slurm"),
    "ray": ("hydra_plugins.hydra_ray_launcher", "cells on a Ray cluster"),
    "tensorboard": ("tensorboard", "event files beside the record"),
    "peers": ("torchmin", "what the benchmarks compare with"),
}


def doctor(arguments: Sequence[str]) -> int:
    """Print one line a check; exit code 1 where one of those that runs need fails."""
    _, words = parse(arguments, verb="doctor", options=())
    if words:
        raise OptionError("hessrun doctor takes no words.")
    failed = 0
    for name, state, told in _checks():
        failed += state == "FAILS"
        print(f"{name:<14}  {state:<7}  {told}")
    return 1 if failed else 0


def _checks() -> Iterator[tuple[str, str, str]]:
    import torch

    from hessrun.linalg.memory import available_bytes
    from hessrun.run.provenance import provenance

    cpu = torch.device("cpu")
    facts = provenance(cpu)
    for package, version in facts["versions"].items():
        yield package, "", version
    yield "platform", "", f"{facts['platform']}, {facts['device_name']}"
    yield "threads", "", f"{facts['threads']} of torch, {os.cpu_count()} processors; threads=N chooses"
    yield "memory", "", f"a dense matrix may take {available_bytes(cpu) / 2**30:.1f} GiB, half of what there is"
    yield "seed", "", "0 unless seed=N is given: initial parameters and the order of batches"
    yield "record", "", f"schema {SCHEMA_VERSION}, protocol {facts['protocol']}"
    commit = facts["commit"]
    changed = ", with changes" if facts["dirty"] else ""
    yield "commit", "", f"{commit}{changed}" if commit else "the working folder is no git checkout"
    yield _cuda()
    yield _folder(Path("outputs"))
    for extra, (module, purpose) in _EXTRAS.items():
        state = "ok" if _is_there(module) else "missing"
        told = purpose if state == "ok" else f"{purpose}: pip install 'hessrun[{extra}]'"
        yield extra, state, told
    yield _tiny_run()


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _cuda() -> tuple[str, str, str]:
    import torch

    if not torch.cuda.is_available():
        return "CUDA", "none", "runs take the CPU"
    name = torch.cuda.get_device_name()
    try:
        x = torch.ones(4, 4, dtype=torch.float64, device="cuda")
        works = float((x @ x).sum()) == 64
    except RuntimeError as error:
        return "CUDA", "FAILS", f"{name}: {' '.join(str(error).split())[:200]}; device=cpu works without it"
    return "CUDA", "ok" if works else "FAILS", f"{torch.cuda.device_count()} of {name}, CUDA {torch.version.cuda}"


def _folder(folder: Path) -> tuple[str, str, str]:
    there = folder if folder.is_dir() else Path()
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(4096))
    except OSError as error:
        return (
            "outputs",
            "FAILS",
            f"{there.resolve()} cannot be written to ({error.strerror}); outputs=FOLDER names another",
        )
    return "outputs", "ok", f"{(there / folder.name if there == Path() else there).resolve()} can be written to"


def _tiny_run() -> tuple[str, str, str]:
    """L-BFGS on a quadratic, recorded in a temporary folder and read back, with its spectrum."""
    from hessrun.objective.analytic import quadratic
    from hessrun.optimizers import LBFGS
    from hessrun.problems import AnalyticProblem, ProblemFacts
    from hessrun.record import read_run
    from hessrun.run import Budget, Experiment, Probe, run_experiment
    from hessrun.status import Status

    f = quadratic(8, condition_number=100.0)
    problem = AnalyticProblem(f.objective, f.x0, ProblemFacts("quadratic", "analytic", 8, 1, f.minimum))
    try:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "run")
            made = Experiment(
                problem, LBFGS(), Budget(iterations=200), Probe(kind="exact"), folder, config="seed: 0\n", manifest={}
            )
            ended = run_experiment(made)
            run = read_run(folder)
            spectra = run.spectra
    except (HessrunError, RuntimeError, OSError) as error:
        return "a tiny run", "FAILS", " ".join(str(error).split())[:200]
    if ended.error is not None or not spectra:
        return "a tiny run", "FAILS", ended.error or "no spectrum was recorded"
    largest, smallest = float(spectra[0].largest[0]), float(spectra[0].smallest[0])
    works = ended.status is Status.CONVERGED and abs(largest - 1) < 1e-6 and abs(smallest - 0.01) < 1e-6
    told = (
        f"L-BFGS {run.status['status']} after {len(run.trace) - 1} steps, eigenvalues {smallest:.6g} to {largest:.6g}, "
        f"{run.status.get('peak_memory_bytes', 0) / 2**20:.0f} MiB of memory"
    )
    return "a tiny run", "ok" if works else "FAILS", told
