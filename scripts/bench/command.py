"""What the benchmarks' command lines share: the options, the sections that were named, the table and the verdict."""

import argparse
import datetime
import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.setting import Setting, say
from bench.table import Row, heading
from hessrun.run.heap import keep_freed_memory


@dataclass(frozen=True)
class Benchmark:
    """program: as the user calls it; description: what it does; sections: each yields rows of one table.

    packages: the modules to compare with, and the packages that bring them.
    """

    program: str
    description: str
    sections: Mapping[str, Callable[[Setting], Iterator[Row]]]
    packages: Mapping[str, str]

    def parser(self) -> argparse.ArgumentParser:
        """The options that all benchmarks have."""
        parser = argparse.ArgumentParser(
            prog=self.program, description=f"{self.description} Nothing else should run on the machine meanwhile."
        )
        parser.add_argument(
            "sections", nargs="*", metavar="SECTION", help=f"all by default: {', '.join(self.sections)}"
        )
        parser.add_argument(
            "--device", choices=("cpu", "cuda"), default="cpu", help="where all methods run, scipy's on the host"
        )
        parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything works")
        parser.add_argument(
            "--fashion-mnist", type=Path, default=Path("data"), help="folder of Fashion-MNIST's four files (data)"
        )
        return parser

    def reason_to_refuse(self, chosen: argparse.Namespace) -> str | None:
        """A line that says why it cannot run as asked; None where it can."""
        unknown = [name for name in chosen.sections if name not in self.sections]
        if unknown:
            return f"{unknown[0]}: no such section; there are {', '.join(self.sections)}."
        if chosen.device == "cuda" and not torch.cuda.is_available():
            return "--device cuda: torch finds no CUDA device here; leave the option out."
        missing = [package for module, package in self.packages.items() if importlib.util.find_spec(module) is None]
        if missing:
            return f"{' and '.join(missing)} to compare with: missing; pip install {' '.join(missing)}"
        return None

    def refuse(self, reason: str) -> int:
        """Say why it does not run; the exit status."""
        print(f"{self.program}: {reason}", file=sys.stderr)
        return 2

    def carry_out(
        self,
        chosen: argparse.Namespace,
        *,
        seeds: int = 9,
        quick_seeds: int = 2,
        with_slow_peers: bool = False,
        out: Path = Path("outputs/bench"),
    ) -> int:
        """Measure what was chosen, or refuse to; the exit status. seeds, quick_seeds: of the starts."""
        reason = self.reason_to_refuse(chosen)
        if reason is not None:
            return self.refuse(reason)
        keep_freed_memory()  # as a run of hessrun does; peers gain by it as well
        setting = Setting(
            device=torch.device(chosen.device),
            is_quick=chosen.quick,
            with_slow_peers=with_slow_peers,
            seeds=quick_seeds if chosen.quick else seeds,
            out=out,
            fashion_mnist=chosen.fashion_mnist,
        )
        return self.measure(chosen.sections, setting)

    def measure(self, names: Sequence[str], setting: Setting) -> int:
        """Print the rows of the named sections, all without names; 0 whatever the bars say."""
        print(self._header(setting), heading(), sep="\n", flush=True)
        missed = left_out = 0
        for name in names or self.sections:
            say(f"section {name}")
            for row in self.sections[name](setting):
                missed += row.holds is False
                left_out += row.is_left_out
                print(row, flush=True)
        verdict = f"{missed} bars not held" if missed else "All bars that were measured hold"
        print(f"\n{verdict}; {left_out} rows not measured.")
        return 0

    def _header(self, setting: Setting) -> str:
        device = torch.cuda.get_device_name() if setting.device.type == "cuda" else f"{platform.machine()} CPU"
        versions = {name: importlib.metadata.version(name) for name in ("torch", *self.packages.values())}
        stated = ", ".join(f"{name} {version}" for name, version in versions.items())
        size = "tiny sizes: the figures say nothing" if setting.is_quick else "medians; ratios of one run"
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return f"{today}: {device}, {torch.get_num_threads()} threads, {stated}; {size}"
