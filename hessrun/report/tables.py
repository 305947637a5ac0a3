"""The tables of a problem, and how a table is written as CSV, Markdown and LaTeX."""

import csv
import io
import math
from collections import Counter
from dataclasses import dataclass

from hessrun.record.schema import PASSES
from hessrun.report.groups import Entry, Group, end_word
from hessrun.report.numbers import (
    AXES,
    Spread,
    cost_to_reach,
    largest,
    last,
    median_cost,
    milliseconds_per_iteration,
    smallest,
    spread,
    target_of,
)


@dataclass(frozen=True)
class Table:
    """A caption, a header and rows of text; the name is that of its files."""

    name: str
    caption: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def folds(self, index: int) -> bool:
        """The page shows the beginning of long cells of this column, and the rest when it is asked for."""
        return self.header[index] in ("reason", "settings")

    def csv(self) -> str:
        """Comma-separated, with a header."""
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([self.header, *self.rows])
        return buffer.getvalue()

    def markdown(self) -> str:
        """A pipe table."""
        lines = [self.header, ("---",) * len(self.header), *self.rows]
        return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines) + "\n"

    def latex(self) -> str:
        """A booktabs tabular in a table."""
        body = [" & ".join(map(_latex, line)) + r" \\" for line in (self.header, *self.rows)]
        rows = [body[0], r"\midrule", *body[1:]]
        top = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(self.caption)}}}"]
        top += [rf"\begin{{tabular}}{{{'l' * len(self.header)}}}", r"\toprule"]
        return "\n".join([*top, *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _latex(text: str) -> str:
    escaped = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "∞": r"$\infty$",
        "λ": r"$\lambda$",
        "–": "--",
        "|": r"\textbar{}",
        "×": r"$\times$",
    }
    return "".join(escaped.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)


def shown(value: float) -> str:
    """Four significant digits, an en dash for nan."""
    if math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.4g}"


def _cell(s: Spread) -> str:
    if s.count < 2 or s.low == s.high:
        return shown(s.median)
    return f"{shown(s.median)} [{shown(s.low)}, {shown(s.high)}]"


def _over(entry: Entry, name: str) -> str:
    values = [last(run, name) for run in entry.runs]
    lost = sum(not math.isfinite(v) for v in values)
    note = f" ({lost} of {len(values)} not finite)" if 0 < lost < len(values) else ""
    return _cell(spread(values)) + note


def statuses(entry: Entry) -> str:
    """For example `2 × converged, 1 × diverged`."""
    counted = sorted(Counter(end_word(run).replace("_", " ") for run in entry.runs).items())
    return ", ".join(f"{count} × {word}" for word, count in counted)


def results(group: Group, name: str) -> Table:
    """What each optimizer ended with, over seeds."""
    header = (
        "optimizer",
        "seeds",
        "training loss",
        "gradient norm",
        "test accuracy",
        "iterations",
        "seconds",
        "passes",
    )
    rows = []
    for e in group.entries:
        mark = "" if e.minimises_objective else " *"
        numbers = ("train_loss", "gradient_norm", "test_accuracy", "step", "seconds", "passes")
        rows.append((e.label + mark, str(len(e.runs)), *(_over(e, key) for key in numbers)))
    caption = (
        f"{group.title}: last row of each run, median [least, greatest] over seeds. Seconds are the optimizer's own. "
        "Passes are values + gradients + products + Hessian columns, each over all training examples, unweighted."
    )
    if not all(e.minimises_objective for e in group.entries):
        caption += " * minimises another function: kept out of comparisons."
    return Table(name, caption, header, rows)


def costs(group: Group, name: str) -> Table:
    """What each optimizer cost, over seeds, and how its runs ended."""
    header = ("optimizer", "ms per iteration", *(p.replace("_", " ") for p in PASSES), "state bytes", "status")
    rows = []
    for e in group.entries:
        kinds = (_over(e, key) for key in (*PASSES, "state_bytes"))
        rows.append((e.label, shown(milliseconds_per_iteration(e)), *kinds, statuses(e)))
    return Table(name, f"{group.title}: cost, median [least, greatest] over seeds; passes by kind.", header, rows)


def targets(group: Group, name: str) -> Table | None:
    """What reaching the target cost; None where no finite loss sets one."""
    found = target_of(group)
    if found is None:
        return None
    target, source = found
    rows = []
    for e in group.entries:
        if not e.is_comparable:
            continue
        cells = []
        for axis in AXES:
            missed = sum(math.isinf(cost_to_reach(run, target, axis)) for run in e.compared)
            note = f" ({missed} of {len(e.compared)} not reached)" if missed else ""
            cells.append(shown(median_cost(e, target, axis)) + note)
        rows.append((e.label, *cells))
    caption = f"{group.title}: cost to reach a training loss of {target:.6g}, {source}; a miss counts as infinite."
    return Table(name, caption, ("optimizer", *AXES.values()), rows)


def spectra(group: Group, name: str) -> Table | None:
    """Each probed spectrum; None where there is none."""
    rows: list[tuple[str, ...]] = []
    for entry in group.entries:
        for run in entry.runs:
            for s in run.spectra:
                count = str(s.negative) if s.negative >= 0 else "–"
                floor = (shown(s.noise_floor), s.noise_floor_source or "–")
                facts = (shown(largest(s)), shown(smallest(s)), count, shown(s.condition_number), *floor, s.kind)
                rows.append((entry.label, str(run.manifest.get("seed", "–")), str(s.step), *facts))
    if not rows:
        return None
    header = (
        *("optimizer", "seed", "step", "λ max", "λ min", "negative", "condition number"),
        *("noise floor", "its source", "kind"),
    )
    caption = (
        f"{group.title}: spectra of the Hessian of the mean training loss (weight decay included). The condition "
        "number is |λ| max / |λ| min over what lies outside the noise floor."
    )
    return Table(name, caption, header, rows)
