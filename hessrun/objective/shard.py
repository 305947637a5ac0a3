"""Which of N examples this rank holds."""

from dataclasses import dataclass

from torch import Tensor

from hessrun import ranks
from hessrun.errors import OptionError


@dataclass(frozen=True)
class Shard:
    """Examples `first` up to `stop`, of `total` in all; the ranks hold all of them, each one once.

    >>> import torch
    >>> Shard(3, 5, 8).held(torch.tensor([4, 0, 3, 7]))
    tensor([1, 0])
    """

    first: int
    stop: int
    total: int

    @classmethod
    def of_this_rank(cls, total: int) -> "Shard":
        """An even share: those of two ranks differ by one example at most, and may be empty."""
        here, size = ranks.rank(), ranks.size()
        return cls(here * total // size, (here + 1) * total // size, total)

    @property
    def count(self) -> int:
        """How many are held."""
        return self.stop - self.first

    @property
    def is_all(self) -> bool:
        """Every example is here."""
        return self.count == self.total

    def held(self, indices: Tensor) -> Tensor:
        """Those of `indices` [B] into all examples that are held here, as indices into the shard."""
        return indices[(indices >= self.first) & (indices < self.stop)] - self.first

    def refuse_empty(self, what: str) -> None:
        """Raise OptionError where there are more ranks than examples."""
        if self.total < ranks.size():
            raise OptionError(
                f"{what}: each of {ranks.size()} ranks needs an example, and there are {self.total}; start fewer ranks."
            )
