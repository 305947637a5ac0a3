"""Where a run is told of beside its record: any class of a `_target_` with these methods; TensorBoard's is here."""

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hessrun.errors import OptionError
from hessrun.options import positive
from hessrun.record import Spectrum


class NoLogger:
    """The base of all loggers; this one tells nobody.

    Its time is on the logging clock. One that raises is named in the manifest's warnings and not called again: the
    record, and the run, do not depend on it.
    """

    def started(self, folder: Path, manifest: Mapping[str, Any], config: str) -> None:
        """The run begins, or goes on, in its folder; config: YAML."""

    def row(self, row: Mapping[str, Any]) -> None:
        """A recorded step (`hessrun.record.COLUMNS`); numbers may be nan."""

    def spectrum(self, spectrum: Spectrum) -> None:
        """What the probe saw."""

    def close(self) -> None:
        """The run has ended, however it did; called once where `started` was."""


@dataclass
class TensorBoardLogger(NoLogger):
    """Scalars of every row, and the largest and smallest eigenvalue, as event files of TensorBoard.

    folder: below the run's folder; flush_seconds: above 0, until what is buffered is written.
    A run that goes on appends; steps after its checkpoint are then in the files twice, the later ones being right.
    """

    folder: str = "tensorboard"
    flush_seconds: float = 30.0
    _writer: Any = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        positive("logger.flush_seconds", self.flush_seconds)
        if not self.folder or Path(self.folder).is_absolute() or ".." in Path(self.folder).parts:
            raise OptionError(f"logger.folder={self.folder!r}: must be a name below the run's folder.")
        if importlib.util.find_spec("tensorboard") is None:
            raise OptionError("logger=tensorboard: tensorboard is not installed: pip install 'hessrun[tensorboard]'.")

    def started(self, folder: Path, manifest: Mapping[str, Any], config: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / self.folder), flush_secs=math.ceil(self.flush_seconds))
        self._writer.add_text("config", f"```\n{config}\n```")

    def row(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name != "step" and isinstance(value, int | float) and math.isfinite(value):
                self._writer.add_scalar(name, value, row["step"])

    def spectrum(self, spectrum: Spectrum) -> None:
        for name, values in (("largest_eigenvalue", spectrum.largest), ("smallest_eigenvalue", spectrum.smallest)):
            if len(values):
                self._writer.add_scalar(name, float(values[0]), spectrum.step)

    def close(self) -> None:
        self._writer.close()
