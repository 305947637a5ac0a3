"""The command line of `scripts/bench_optimizers`."""

import argparse
import datetime
import importlib.metadata
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from bench import dense, lbfgs_free, lbfgs_target, newton, order, problems
from bench.peers import missing_packages
from bench.setting import Setting, say
from bench.table import Row, heading

_SECTIONS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "bfgs": dense.small,
    "bfgs-large": dense.large,
    "lbfgs-free": lbfgs_free.rows,
    "lbfgs-target": lbfgs_target.rows,
    "newton": newton.rows,
    "mgh": problems.rows,
    "order": order.rows,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sections that were named, all by default; 0 where it ran, whatever the bars say."""
    chosen = _parser().parse_args(arguments)
    unknown = [name for name in chosen.sections if name not in _SECTIONS]
    if unknown:
        return _refuse(f"{unknown[0]}: no such section; there are {', '.join(_SECTIONS)}.")
    if chosen.seeds < 1:
        return _refuse(f"--seeds {chosen.seeds}: must be 1 or above.")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        return _refuse("--device cuda: torch finds no CUDA device here; leave the option out.")
    missing = missing_packages()
    if missing:
        return _refuse(f"{' and '.join(missing)} to compare with: missing; pip install {' '.join(missing)}")
    setting = Setting(
        device=torch.device(chosen.device),
        is_quick=chosen.quick,
        with_slow_peers=chosen.all,
        seeds=2 if chosen.quick else chosen.seeds,
        out=chosen.out,
        fashion_mnist=chosen.fashion_mnist,
    )
    print(_header(setting), heading(), sep="\n", flush=True)
    missed = left_out = 0
    for name in chosen.sections or _SECTIONS:
        say(f"section {name}")
        for row in _SECTIONS[name](setting):
            missed += row.holds is False
            left_out += row.is_left_out
            print(row, flush=True)
    verdict = f"{missed} bars not held" if missed else "All bars that were measured hold"
    print(f"\n{verdict}; {left_out} rows not measured.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench_optimizers",
        description="Sets hessrun's optimizers beside scipy's, torch's and torchmin's: one table of ratios in one run. "
        "Ratios are ours / peer where the bar is an upper one, and how many times faster ours is where it is a lower "
        "one. Nothing else should run on the machine meanwhile.",
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"all by default: {', '.join(_SECTIONS)}")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where all methods run, scipy's on the host"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything works")
    parser.add_argument("--all", action="store_true", help="also the methods of torchmin that take minutes")
    parser.add_argument("--seeds", type=int, default=9, help="starts of lbfgs-target (9)")
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"), help="folder of the figures (outputs/bench)")
    parser.add_argument(
        "--fashion-mnist", type=Path, default=Path("data"), help="folder of Fashion-MNIST's four files (data)"
    )
    return parser


def _refuse(message: str) -> int:
    print(f"scripts/bench_optimizers: {message}", file=sys.stderr)
    return 2


def _header(setting: Setting) -> str:
    device = torch.cuda.get_device_name() if setting.device.type == "cuda" else f"{platform.machine()} CPU"
    versions = {name: importlib.metadata.version(name) for name in ("torch", "scipy", "pytorch-minimize")}
    stated = ", ".join(f"{name} {version}" for name, version in versions.items())
    size = "tiny sizes: the figures say nothing" if setting.is_quick else "medians; ratios of one run"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"{today}: {device}, {torch.get_num_threads()} threads, {stated}; {size}"


if __name__ == "__main__":
    sys.exit(main())
