"""What is on disk: schema, writer and reader of a run's folder. Knows neither torch nor any method."""

from hessrun.record.reader import Run, find_runs, read_run, read_runs
from hessrun.record.schema import COLUMNS, SCHEMA_VERSION, Column
from hessrun.record.spectrum import Spectrum
from hessrun.record.writer import RunWriter

__all__ = ["COLUMNS", "SCHEMA_VERSION", "Column", "Run", "RunWriter", "Spectrum", "find_runs", "read_run", "read_runs"]
