"""A quasi-Newton matrix that is a known one."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Known:
    matrix: Tensor

    def product(self, v: Tensor) -> Tensor:
        return self.matrix @ v

    def dense(self) -> Tensor:
        return self.matrix
