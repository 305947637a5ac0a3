"""What an objective has been asked for, in passes over its examples."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EvaluationCounts:
    """Passes over all examples: a call on B of N examples is B/N of a pass.

    values: values without a gradient; gradients: values with one; products: Hessian-vector products, one a vector;
    hessian_columns: columns propagated to form Hessians (n by products, the sum of the widths by layers).
    """

    values: float = 0.0
    gradients: float = 0.0
    products: float = 0.0
    hessian_columns: float = 0.0

    def __sub__(self, other: "EvaluationCounts") -> "EvaluationCounts":
        return EvaluationCounts(
            self.values - other.values,
            self.gradients - other.gradients,
            self.products - other.products,
            self.hessian_columns - other.hessian_columns,
        )


_SUMS = ("values", "gradients", "products", "columns")


class Counter:
    """The running sums behind `EvaluationCounts`; one is shared by an objective and its minibatches.

    Kept as whole numbers of examples, so that adding many small batches is exact.
    """

    def __init__(self, n_examples: int) -> None:
        self.n_examples = n_examples
        self._values = self._gradients = self._products = self._columns = 0

    def add_value(self, examples: int) -> None:
        self._values += examples

    def add_gradient(self, examples: int) -> None:
        self._gradients += examples

    def add_products(self, examples: int, vectors: int) -> None:
        self._products += examples * vectors

    def add_hessian_columns(self, examples: int, columns: int) -> None:
        self._columns += examples * columns

    def dump(self) -> dict[str, int]:
        """The sums, in examples; `load` takes them back."""
        return {name: getattr(self, f"_{name}") for name in _SUMS}

    def load(self, sums: dict[str, int]) -> None:
        """Go on from sums that `dump` gave, instead of from those so far."""
        for name in _SUMS:
            setattr(self, f"_{name}", int(sums[name]))

    def snapshot(self) -> EvaluationCounts:
        total = self.n_examples
        return EvaluationCounts(
            self._values / total, self._gradients / total, self._products / total, self._columns / total
        )
