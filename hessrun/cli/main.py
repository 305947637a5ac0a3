"""The command: `hessrun VERB ...` is dispatched here; everything else is Hydra's. Nothing heavy is imported."""

import signal
import sys
from collections.abc import Callable, Sequence

from hessrun import ranks
from hessrun.cli.outcomes import OUTCOMES, SIGNAL_BASE
from hessrun.cli.ranked import refuse_for_ranks, run_as_a_rank
from hessrun.errors import HessrunError
from hessrun.version import __version__

HELP = """\
hessrun: do Hessian methods train this network faster, and what does the curvature look like on the way?

  hessrun optimizer=lbfgs model=mlp                        one run; the defaults need no network and end in seconds
  hessrun -m optimizer=sgd,newton,bfgs,lbfgs seed=0,1,2    a sweep: every combination, one run each
  hessrun report [RUNS...] [--out DIR] [--write-up FILE]   the comparison: figures, tables, prose, one page
  hessrun suite NAME [--dry-run]                           the cells of a YAML, each optimizer with its own settings
  hessrun tune NAME                                        the settings of a suite's methods, equal trials for each
  hessrun status [DIR] [--watch [SECONDS]]                 how the runs below a folder stand, also while they run
  hessrun spectrum RUN [--step K] [--layers '1.*']         eigenvalues at a point that a run kept; or at the start:
  hessrun spectrum model=mlp dataset=digits                --kind gauss_newton, --method exact, lanczos or density
  hessrun list [GROUP]                                     what can be chosen: datasets, models, optimizers ...
  hessrun export RUN [--out FILE]                          a run's trained weights as a state_dict
  hessrun compact RUNS... --out DIR [--rows N]             records small enough to be committed, reported on as before
  hessrun doctor                                           what this machine offers, and whether a tiny run works
  hessrun --cfg job [overrides]                            the configuration that a command would run
  hessrun --version

Options are written group=name (optimizer=bfgs) or group.key=value (optimizer.lr=0.05, budget.iterations=300,
model.hidden=[64,64], dataset.limit=500). Runs land in outputs/; the same command again finds the finished run, goes
on with one that was cut off, and extends one whose budget it raises.
Your own: optimizer._target_=mypackage.MyOptimizer, or --config-dir ./conf with a folder of YAML files.

Exit codes: 0 done (a run that diverged is a result), 1 a run failed, 2 the command or configuration is wrong,
130 interrupted, 143 terminated. Hydra's own flags (-m, --cfg, --config-dir ...): hessrun --hydra-help
"""


def _list(arguments: Sequence[str]) -> int:
    from hessrun.cli.listing import list_groups

    return list_groups(arguments)


def _report(arguments: Sequence[str]) -> int:
    from hessrun.cli.reporting import report

    return report(arguments)


def _doctor(arguments: Sequence[str]) -> int:
    from hessrun.cli.doctor import doctor

    return doctor(arguments)


def _suite(arguments: Sequence[str]) -> int:
    from hessrun.cli.suite import suite

    return suite(arguments)


def _tune(arguments: Sequence[str]) -> int:
    from hessrun.cli.suite import tune

    return tune(arguments)


def _status(arguments: Sequence[str]) -> int:
    from hessrun.cli.standing import status

    return status(arguments)


def _spectrum(arguments: Sequence[str]) -> int:
    from hessrun.cli.spectrum import spectrum

    return spectrum(arguments)


def _export(arguments: Sequence[str]) -> int:
    from hessrun.cli.export import export

    return export(arguments)


def _compact(arguments: Sequence[str]) -> int:
    from hessrun.cli.compacting import compacting

    return compacting(arguments)


VERBS: dict[str, Callable[[Sequence[str]], int]] = {
    "list": _list,
    "report": _report,
    "status": _status,
    "suite": _suite,
    "tune": _tune,
    "doctor": _doctor,
    "spectrum": _spectrum,
    "export": _export,
    "compact": _compact,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        here = ranks.place()
    except HessrunError as error:
        print(f"hessrun: {error}", file=sys.stderr)
        return 2
    return run_as_a_rank(here, lambda: _run(words))


def _run(words: list[str]) -> int:
    if words in (["--help"], ["-h"], ["help"]):
        print(HELP, end="")
        return 0
    if words == ["--version"]:
        print(f"hessrun {__version__}")
        return 0
    try:
        refuse_for_ranks(words)
        if words and words[0] in VERBS:
            return VERBS[words[0]](words[1:])
        if words and words[0].isidentifier():
            from hessrun.options import nearest

            raise HessrunError(f"'{words[0]}' is no verb: {', '.join(VERBS)}.{nearest(words[0], VERBS)}")
        from hessrun.cli.app import run_hydra

        OUTCOMES.command = words
        return run_hydra(words)
    except HessrunError as error:
        print(f"hessrun: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"hessrun: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        ranks.leave("interrupted")  # wherever it was: the others may be elsewhere
        print("hessrun: interrupted.", file=sys.stderr)
        return SIGNAL_BASE + getattr(stop, "number", signal.SIGINT)


def entry() -> None:
    """The console script."""
    sys.exit(main())
