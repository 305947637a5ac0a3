"""What a class of the user's own raises before its run has started, as one line."""

import os
import site
import sys
import traceback
from pathlib import Path

# Set, it has the whole traceback printed as well.
TRACEBACK = "HESSRUN_TRACEBACK"


def line_of(error: Exception) -> str:
    """The error with the place in the user's own code, or the innermost one, that it came from."""
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error, file=sys.stderr)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_installed(frame.filename)] or frames
    where = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}; {TRACEBACK}=1 shows the way there."


def _is_installed(filename: str) -> bool:
    places = [Path(__file__).parents[1], *map(Path, site.getsitepackages()), Path(os.__file__).parent]
    return any(Path(filename).is_relative_to(place) for place in places)
