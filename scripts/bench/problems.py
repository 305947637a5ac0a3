"""The eighteen problems of Moré, Garbow and Hillstrom: evaluations until solved, counts solved, and the profile."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from bench.evaluations_to_solve import Method, ours, scipy_method, starts_finite, torch_method, torchmin_method
from bench.profile import Panel, draw
from bench.setting import Setting, say
from bench.table import Row, geometric_mean, ratios_where_both, times
from hessrun.objective.more_garbow_hillstrom import NAMES, more_garbow_hillstrom
from hessrun.optimizers import BFGS, LBFGS, SSBFGS, NewtonTrust

_LIMIT = 3000
_QUICK = ("beale", "gaussian")
# Ours, and the peer of scipy that each is compared with; SSBFGS is held to no bar.
_RIVALS = {"BFGS": "scipy BFGS", "LBFGS": "scipy L-BFGS-B", "NewtonTrust": "scipy BFGS", "SSBFGS": "scipy BFGS"}
_HELD_TO = ("BFGS", "LBFGS", "NewtonTrust")

# By method, then by problem: evaluations, or None where it was not solved.
Solved = dict[str, dict[str, int | None]]


def _ours() -> list[Method]:
    return [
        ours("BFGS", BFGS()),
        ours("LBFGS", LBFGS()),
        ours("SSBFGS", SSBFGS()),
        ours("NewtonTrust", NewtonTrust(), uses_hessians=True),
    ]


def _peers() -> list[Method]:
    return [
        scipy_method("BFGS"),
        scipy_method("L-BFGS-B"),
        torch_method(),
        torchmin_method("bfgs"),
        torchmin_method("l-bfgs"),
        torchmin_method("newton-cg", uses_hessians=True),
        torchmin_method("trust-exact", uses_hessians=True),
    ]


def rows(setting: Setting) -> Iterator[Row]:
    """Standard starts, ten times the starts, and float32; the profile and the figures behind it go to `out`."""
    names = _QUICK if setting.is_quick else NAMES
    methods = _ours() + _peers()
    standard, _ = _solve(setting, methods, names, start_factor=1.0, dtype=torch.float64)
    far, endless = _solve(setting, methods, names, start_factor=10.0, dtype=torch.float64)
    yield from _standard(standard)
    yield from _far(far, endless)
    yield from _in_float32(setting, names)
    setting.out.mkdir(parents=True, exist_ok=True)
    _write(setting.out / "more_garbow_hillstrom.csv", {1: standard, 10: far})
    panels = [
        Panel("values and gradients", [m.name for m in methods if not m.uses_hessians]),
        Panel("with Hessians, not counted as evaluations", [m.name for m in methods if m.uses_hessians]),
    ]
    for name, costs in (("profile", standard), ("profile-10x", far)):
        drawn = draw(costs, panels, [m.name for m in _ours()], setting.out / name)
        say(f"mgh: drew {', '.join(map(str, drawn))}")


def _solve(
    setting: Setting, methods: list[Method], names: tuple[str, ...], *, start_factor: float, dtype: torch.dtype
) -> tuple[Solved, list[str]]:
    """Evaluations by method and problem, and the problems whose start is not finite."""
    tau = 1e-8 if dtype == torch.float64 else 1e-4
    found: Solved = {method.name: {} for method in methods}
    endless = []
    for name in names:
        say(f"mgh: {name}, {start_factor:g}x the start, {dtype}")
        problem = more_garbow_hillstrom(name, start_factor=start_factor, dtype=dtype, device=setting.device)
        if not starts_finite(problem):
            endless.append(name)
            continue
        for method in methods:
            found[method.name][name] = method.evaluations(problem, tau=tau, limit=_LIMIT)
    return found, endless


def _standard(found: Solved) -> Iterator[Row]:
    for method, by_problem in found.items():
        total = len(by_problem)
        yield from _counted(method, f"{method}, {total} standard starts, tau = 1e-8: solved", by_problem, "", total)
    for method, rival in _RIVALS.items():
        ratios = ratios_where_both(found[method], found[rival])
        ratio = geometric_mean(ratios)
        what = f"{method} evaluations / {rival}'s, geometric mean of {len(ratios)}"
        mine, theirs = f"{_total(found, method, rival)} in all", f"{rival} {_total(found, rival, method)}"
        if method in ("BFGS", "LBFGS"):
            yield Row.at_most(what, mine, theirs, ratio, 1)
        else:
            yield Row(what, mine, theirs, times(ratio))


def _far(found: Solved, endless: list[str]) -> Iterator[Row]:
    for method, by_problem in found.items():
        rival = _RIVALS.get(method, method)
        least = count_solved(found[rival])
        yield from _counted(method, f"{method}, 10x the starts: solved", by_problem, f"{rival} {least}", least)
    if endless:
        yield Row(f"  left out, f is not finite at 10x the start: {', '.join(endless)}", "")


def _in_float32(setting: Setting, names: tuple[str, ...]) -> Iterator[Row]:
    found, endless = _solve(setting, [*_ours(), torch_method()], names, start_factor=1.0, dtype=torch.float32)
    for method, by_problem in found.items():
        yield from _counted(method, f"{method}, float32, tau = 1e-4: solved", by_problem, "", len(by_problem))
    if endless:
        yield Row(f"  left out, f overflows float32 at the start: {', '.join(endless)}", "")


def _counted(method: str, what: str, by_problem: Mapping[str, int | None], peer: str, least: int) -> Iterator[Row]:
    """How many were solved, with a bar for the methods that are held to one; then the names of those that were not."""
    solved, total = count_solved(by_problem), len(by_problem)
    if method in _HELD_TO:
        yield Row.count(what, solved, peer, least, total)
    elif method in _RIVALS:
        yield Row(what, f"{solved} of {total}", peer)
    else:
        yield Row(what, "", f"{solved} of {total}")
    unsolved = [name for name, cost in by_problem.items() if cost is None]
    if unsolved:
        yield Row(f"  not solved: {', '.join(unsolved)}", "")


def count_solved(by_problem: Mapping[str, int | None]) -> int:
    """How many problems were solved."""
    return sum(cost is not None for cost in by_problem.values())


def _total(found: Solved, method: str, other: str) -> int:
    """Evaluations on the problems that both solve."""
    return sum(cost for name, cost in found[method].items() if cost is not None and found[other][name] is not None)


def _write(path: Path, by_factor: Mapping[int, Solved]) -> None:
    """The evaluations behind the table: a line a method, start and problem; empty where it was not solved."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["start_factor", "problem", "method", "evaluations"])
        for factor, found in by_factor.items():
            for method, by_problem in found.items():
                writer.writerows([factor, name, method, cost] for name, cost in by_problem.items())
