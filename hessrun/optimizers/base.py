"""What a method is: an immutable set of hyperparameters that turns one state into the next."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor

from hessrun.linalg.quasi_newton_matrix import SymmetricMatrix
from hessrun.objective import Evaluation
from hessrun.optimizers.plain import from_plain, tensors_in, to_plain
from hessrun.problems.problem import Problem
from hessrun.status import Status


@dataclass(kw_only=True)
class State:
    """Where a method stands; tensors and numbers all the way down. A method adds its own.

    step: outer iterations so far; x: [n]; evaluation: f over the whole training split at x with its gradient, or None
    for a stochastic method; step_size: the last step length or learning rate; failure: why the method cannot go on.
    """

    step: int = 0
    x: Tensor
    evaluation: Evaluation | None
    step_size: float = float("nan")
    failure: Status | None = None

    @property
    def here(self) -> Evaluation:
        """The evaluation at x, for methods that always have it."""
        if self.evaluation is None:
            raise RuntimeError("this state carries no evaluation: refresh it")
        return self.evaluation


@dataclass(frozen=True)
class Approximation:
    """A quasi-Newton matrix: H, of the Hessian's inverse, where `is_inverse`; else B, of the Hessian itself.

    learned: s and y, each [n], of the newest pair that it took up, or None before the first.
    """

    matrix: SymmetricMatrix
    is_inverse: bool
    learned: list[Tensor] | None


@dataclass(frozen=True)
class Insight:
    """What a method knows of the curvature.

    approximation: its quasi-Newton matrix.
    eigenvalues: those of the Hessian that it decomposed, ascending, at the x of `eigenvalues_step`.
    negative_curvature: whether it met any at its last look, None where a method that looks has not done so yet.
    """

    approximation: Approximation | None = None
    eigenvalues: Tensor | None = None
    eigenvalues_step: int = -1
    negative_curvature: bool | None = False


S = TypeVar("S", bound=State)


class Optimizer(ABC, Generic[S]):
    """A method. Implementations are frozen dataclasses whose fields are the keys of their YAML.

    state_type: the class of its states; is_stochastic: it sees minibatches, so that its states carry no evaluation;
    decomposes: a step may decompose the Hessian at the x it starts from, for `insight` to hand on.
    """

    state_type: ClassVar[type[State]] = State
    decomposes: ClassVar[bool] = False

    @property
    def is_stochastic(self) -> bool:
        return False

    @property
    def minimises(self) -> str:
        """`the objective`, or `another function` where a decay of the method's own changes what is minimised."""
        return "the objective"

    @property
    def is_diagnosed(self) -> bool:
        """The record asks at every row how far the method's quasi-Newton matrix is from the Hessian."""
        return False

    @abstractmethod
    def init(self, problem: Problem) -> S:
        """The state at the problem's start. Raises TooLargeError, and OptionError, here, not later."""

    @abstractmethod
    def step(self, problem: Problem, state: S) -> S:
        """One outer iteration. It consumes `state`: use the new one only."""

    def refresh(self, problem: Problem, state: S) -> S:
        """The function changed, or x was moved: evaluate anew, keep the memory."""
        if state.evaluation is not None:
            state.evaluation = problem.train.evaluate(state.x)
        return state

    def columns(self, state: S) -> dict[str, float]:
        """The method's own columns of a row."""
        return {}

    def insight(self, state: S) -> Insight:
        """What it knows of the curvature at this state."""
        return Insight()

    def dump(self, state: S) -> dict[str, Any]:
        """The state as a plain dictionary of tensors and numbers, for a checkpoint.

        The tensors are the state's own: save them before the next step, which may write to them.
        """
        plain = to_plain(state)
        if not isinstance(plain, dict):
            raise TypeError("a state is a dataclass")
        return plain

    def load(self, data: dict[str, Any]) -> S:
        """The state that `dump` was given."""
        state: S = from_plain(self.state_type, data)
        return state

    def state_bytes(self, state: S) -> int:
        """Memory of the state's tensors, views counted once."""
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors_in(state)}
        return sum(storages.values())
