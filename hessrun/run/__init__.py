"""A run: budget, clocks, probe, loop, and the record that it leaves."""

from hessrun.run.budget import Budget
from hessrun.run.experiment import Ended, Experiment, run_experiment
from hessrun.run.listener import Outcome
from hessrun.run.loop import Loop
from hessrun.run.minimize import Result, minimize
from hessrun.run.probe import Probe
from hessrun.run.recording import CheckpointPlan, Progress

__all__ = [
    "Budget",
    "CheckpointPlan",
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
