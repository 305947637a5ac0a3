"""What hessrun raises on misuse. Outcomes of a run are no errors: they are statuses (`hessrun.status`).

    HessrunError
     ├── OptionError              an option outside its legal range, a part that does not fit another
     ├── DataError                a dataset's file is missing, truncated or of the wrong kind
     ├── TooLargeError            a matrix that does not fit: bytes, limit, and what to use instead
     ├── ObjectiveError           a function that cannot be minimised: no graph, not a scalar, not deterministic
     │    └── NotFiniteError      its Hessian, or a product with it, is not finite at the point that was asked for
     ├── RecordError              a folder that holds no run, or a damaged one
     │    └── FolderTakenError    another process is running this folder's run
     └── RanksError               another process of the same command has ended, or does not answer

Every message is one line: what was wrong, what is allowed, what to do. The command prints it and exits with 2.
"""


class HessrunError(Exception):
    """The base of all errors that hessrun raises on misuse."""


class OptionError(HessrunError, ValueError):
    """An option outside its legal range, or parts that do not fit together."""


class DataError(HessrunError):
    """A dataset whose file is missing, truncated or of the wrong kind."""


class TooLargeError(HessrunError):
    """A matrix that does not fit in memory."""


class ObjectiveError(HessrunError, ValueError):
    """A function that cannot be minimised: not scalar, not differentiable, or not the same twice."""


class NotFiniteError(ObjectiveError):
    """A Hessian, or a product with it, that is not finite at the point that was asked for."""


class RecordError(HessrunError):
    """A folder that holds no run, or a record that is damaged or of a newer schema."""


class FolderTakenError(RecordError):
    """A run's folder that another process holds."""


class RanksError(HessrunError):
    """Another process that runs the same command has ended, does not answer, or does not hold the same."""
