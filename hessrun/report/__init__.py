"""The write-up of recorded runs: figures, tables, prose and one self-contained page. Reads records alone."""

from hessrun.report.build import ReportPaths, build

__all__ = ["ReportPaths", "build"]
