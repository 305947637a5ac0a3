"""Optimizers, one method a file: immutable hyperparameters that turn one state into the next."""

from hessrun.optimizers.base import Insight, Optimizer, State
from hessrun.optimizers.bfgs import BFGS
from hessrun.optimizers.broyden import Broyden
from hessrun.optimizers.dfp import DFP
from hessrun.optimizers.gauss_newton import GaussNewton
from hessrun.optimizers.lbfgs import LBFGS
from hessrun.optimizers.lbfgs_multibatch import LBFGSMultibatch
from hessrun.optimizers.newton import Newton
from hessrun.optimizers.newton_cg import NewtonCG
from hessrun.optimizers.newton_cg_line_search import NewtonCGLineSearch
from hessrun.optimizers.newton_trust import NewtonTrust
from hessrun.optimizers.parts import Part
from hessrun.optimizers.schedules import Constant, Cosine, InverseTime, Milestones, Schedule
from hessrun.optimizers.sgd import SGD
from hessrun.optimizers.sr1 import SR1
from hessrun.optimizers.ssbfgs import SSBFGS
from hessrun.optimizers.torch_optimizer import TorchOptimizer

__all__ = [
    "BFGS",
    "DFP",
    "LBFGS",
    "SGD",
    "SR1",
    "SSBFGS",
    "Broyden",
    "Constant",
    "Cosine",
    "GaussNewton",
    "Insight",
    "InverseTime",
    "LBFGSMultibatch",
    "Milestones",
    "Newton",
    "NewtonCG",
    "NewtonCGLineSearch",
    "NewtonTrust",
    "Optimizer",
    "Part",
    "Schedule",
    "State",
    "TorchOptimizer",
]
