"""`hessrun spectrum RUN` and `hessrun spectrum model=mlp dataset=digits`: the curvature at a point, any time later."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hessrun import ranks
from hessrun.cli.arguments import parse
from hessrun.errors import OptionError
from hessrun.options import choice
from hessrun.record import Spectrum

if TYPE_CHECKING:
    from torch import Tensor

    from hessrun.objective import Objective

OPTIONS = ("--step", "--kind", "--layers", "--method", "--k", "--out")
_KINDS = ("hessian", "gauss_newton")
_METHODS = ("auto", "exact", "lanczos", "density")


@dataclass(frozen=True)
class Point:
    """Where a spectrum is taken: the objective, x [n], the step, what to call it and where results go."""

    objective: "Objective"
    x: "Tensor"
    step: int
    title: str
    out: Path


def spectrum(arguments: Sequence[str]) -> int:
    """Write the spectrum (.npz) and its figure (PNG, SVG) into --out, and print what it says.

    The point is a run's newest kept one or that of --step, or the start of the problem that overrides name.
    """
    options, words = parse(arguments, verb="spectrum", options=OPTIONS)
    kind, method = options.get("--kind", "hessian"), options.get("--method", "auto")
    choice("--kind", kind, _KINDS)
    choice("--method", method, _METHODS)
    k = _whole("--k", options["--k"], 1) if "--k" in options else None
    step = None if "--step" not in options else _whole("--step", options["--step"], 0)
    ranks.start()
    point = ranks.together(lambda: _point(words, step))
    layers = options.get("--layers", "*")
    found = _look(point, kind=kind, method=method, layers=layers, k=k)
    if not ranks.is_writer():
        return 0
    out = Path(options.get("--out", point.out))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(f"--out {out}: cannot be a folder ({error.strerror}); give another one.") from None
    files = _write(found, out, point.title)
    _print(found, point, files)
    return 0


def _whole(name: str, text: str, minimum: int) -> int:
    if not text.isdecimal() or int(text) < minimum:
        raise OptionError(f"{name} {text}: must be a whole number, {minimum} or above.")
    return int(text)


def _point(words: Sequence[str], step: int | None) -> Point:
    if len(words) == 1 and ("=" not in words[0] or Path(words[0]).exists()):
        from hessrun.cli.points import point_of_run

        return point_of_run(Path(words[0]), step)
    if not words or any("=" not in word for word in words):
        raise OptionError(
            "hessrun spectrum takes one run (hessrun spectrum outputs/EXPERIMENT/RUN [--step K]), or overrides for the "
            "start of a problem (hessrun spectrum model=mlp dataset=digits)."
        )
    if step is not None:
        raise OptionError(f"--step {step}: overrides name a problem's start; a step is one of a run's.")
    from hessrun.cli.points import point_of_overrides

    return point_of_overrides(words)


def _look(point: Point, *, kind: str, method: str, layers: str, k: int | None) -> Spectrum:
    from hessrun.objective import restrict
    from hessrun.run import Probe
    from hessrun.run.looking import look_at, method_for

    as_probed = Probe()

    objective, x = point.objective, point.x
    if layers != "*":
        objective, x = restrict(objective, x, layers.split(","))
    chosen = method_for(method, objective.dim, as_probed.exact_limit)
    if k is not None and method in ("exact", "density"):
        raise OptionError(f"--k {k}: how many at each end, is for --method lanczos; {method} gives the whole spectrum.")
    if k is not None and k > objective.dim:
        raise OptionError(f"--k {k}: there are only {objective.dim} eigenvalues.")
    count = min(as_probed.eigenvalues, objective.dim) if k is None else k
    cheaper = "--method lanczos or --method density"
    found, _ = look_at(objective, x, method=chosen, matrix=kind, k=count, step=point.step, cheaper=cheaper)
    return replace(found, parameters=layers)


def _write(found: Spectrum, out: Path, title: str) -> list[Path]:
    from hessrun.report.spectrum_figure import spectrum_figure

    part = "" if found.parameters == "*" else "-" + "".join(c if c.isalnum() else "_" for c in found.parameters)
    name = f"spectrum-{found.step:06d}-{found.matrix}-{found.kind}{part}"
    found.save(out / f"{name}.npz")
    files = [out / f"{name}.npz"]
    picture = spectrum_figure(found, name, title)
    for extension in ("png", "svg"):
        files.append(out / f"{name}.{extension}")
        files[-1].write_bytes(picture.files[extension])
    return files


def _print(found: Spectrum, point: Point, files: Sequence[Path]) -> None:
    knows_all = found.kind == "exact"
    unknown = "not known: --method exact counts all"
    lines = [
        ("spectrum", f"{found.matrix} of {point.title}"),
        ("parameters", f"{found.n:,}" + ("" if found.parameters == "*" else f", those named {found.parameters}")),
        ("method", found.kind),
        ("largest", ", ".join(f"{value:.6g}" for value in found.largest[:5])),
        ("smallest", ", ".join(f"{value:.6g}" for value in found.smallest[:5])),
        ("negative", f"{found.negative:,} ({found.negative_share:.1%})" if knows_all else unknown),
        ("zero", f"{found.zero:,} within the noise floor" if knows_all else unknown),
        ("condition number", _number(found.condition_number) + (", indefinite" if found.is_indefinite else "")),
        ("effective rank", _number(found.effective_rank)),
        ("outliers", f"{found.outliers} above {found.bulk_edge:.4g}" if found.outliers >= 0 else "not known"),
        ("noise floor", f"{found.noise_floor:.3g} ({found.noise_floor_source})"),
        ("right", _trust(found)),
        ("cost", ("a dense matrix" if knows_all else f"{found.products:,.0f} products") + f", {found.seconds:.3g} s"),
        *(("written", str(path)) for path in files),
    ]
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        print(f"{name:<{width}}  {value}")


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "not known"


def _trust(found: Spectrum) -> str:
    """How far the numbers can be relied on, in words."""
    if found.kind == "exact":
        return "all eigenvalues, by a dense solver in float64"
    if found.kind == "density":
        return f"an estimate over {len(found.density_nodes)} random vectors; its ends lie within the true ones"
    converged = "converged" if found.converged else "not converged (dtype=float64 lowers the noise)"
    return f"{converged}, {'complete' if found.complete else 'not confirmed complete'}"
