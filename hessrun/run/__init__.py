"""A run: budget, clocks, probe, loop, and the record that it leaves."""

from hessrun.run.budget import Budget
from hessrun.run.experiment import Ended, Experiment, Progress, run_experiment
from hessrun.run.loop import Loop, Outcome
from hessrun.run.minimize import Result, minimize
from hessrun.run.probe import Probe

__all__ = [
    "Budget",
    "Ended",
    "Experiment",
    "Loop",
    "Outcome",
    "Probe",
    "Progress",
    "Result",
    "minimize",
    "run_experiment",
]
