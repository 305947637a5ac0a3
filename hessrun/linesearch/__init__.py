"""A step length along a direction."""

from hessrun.linesearch.armijo import Armijo
from hessrun.linesearch.base import LineSearch, LineSearchResult
from hessrun.linesearch.wolfe import StrongWolfe

__all__ = ["Armijo", "LineSearch", "LineSearchResult", "StrongWolfe"]
