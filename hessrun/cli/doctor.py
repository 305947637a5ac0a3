"""`hessrun doctor`: what this machine offers, and whether a tiny run works on it."""

import importlib.util
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hessrun.cli.arguments import parse
from hessrun.errors import HessrunError, OptionError

_EXTRAS = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "cells of a sweep side by side"),
    "submitit": ("hydra_plugins.hydra_submitit_launcher", "cells as jobs of Slurm"),
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

    from hessrun.run.provenance import provenance

    facts = provenance(torch.device("cpu"))
    for package, version in facts["versions"].items():
        yield package, "", version
    yield "platform", "", f"{facts['platform']}; {os.cpu_count()} processors, {facts['threads']} threads of torch"
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
    """L-BFGS on a quadratic: objective, line search, loop and spectrum."""
    import torch

    import hessrun

    scales = torch.logspace(0, 2, 8, dtype=torch.float64)
    try:
        found = hessrun.minimize(
            lambda x: 0.5 * (scales * x * x).sum(),
            torch.ones(8, dtype=torch.float64),
            probe=hessrun.Probe(kind="exact"),
        )
    except (HessrunError, RuntimeError) as error:
        return "a tiny run", "FAILS", " ".join(str(error).split())[:200]
    largest = float(found.spectra[0].largest[0])
    works = found.status.value == "converged" and abs(largest - 100) < 1e-6
    told = f"L-BFGS {found.status.value} after {found.steps} steps, the largest eigenvalue is {largest:.6g}"
    return "a tiny run", "ok" if works else "FAILS", told
