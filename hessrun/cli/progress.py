"""The progress bar of a run, on standard error; silent where that is no terminal."""

from typing import Any

from tqdm import tqdm

from hessrun.run import Progress


class Bar(Progress):
    """Steps, with the loss and the gradient's norm."""

    def __init__(self, name: str, total: int | None, *, show: bool) -> None:
        self._bar = tqdm(total=total, desc=name, unit="step", disable=not show, leave=False, dynamic_ncols=True)

    def update(self, row: dict[str, Any]) -> None:
        self._bar.set_postfix_str(f"loss {row['train_loss']:.4g}, |g| {row['gradient_norm']:.2g}", refresh=False)
        self._bar.update(row["step"] - self._bar.n)

    def close(self) -> None:
        self._bar.close()
