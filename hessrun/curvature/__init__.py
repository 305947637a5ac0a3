"""The curvature of an objective at a point: spectra that say how right they are."""

from hessrun.curvature.bulk import Bulk, bulk, effective_rank
from hessrun.curvature.density import Density, density
from hessrun.curvature.diagnosis import diagnose
from hessrun.curvature.exact import from_eigenvalues, spectrum
from hessrun.curvature.lanczos import as_spectrum, eigenvalues, extremes
from hessrun.curvature.preconditioned import preconditioned, with_preconditioned
from hessrun.curvature.trace import TraceEstimate, trace
from hessrun.linalg.lanczos import Eigenpairs

__all__ = [
    "Bulk",
    "Density",
    "Eigenpairs",
    "TraceEstimate",
    "as_spectrum",
    "bulk",
    "density",
    "diagnose",
    "effective_rank",
    "eigenvalues",
    "extremes",
    "from_eigenvalues",
    "preconditioned",
    "spectrum",
    "trace",
    "with_preconditioned",
]
