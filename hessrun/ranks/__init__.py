"""The processes that run one command together, and what they tell each other.

There is one process, and every function here is free, until `start` joins those that a launcher such as torchrun
started: then each of them is a rank, all run the same program on the same vector, and rank 0 alone writes and prints.
Whatever depends on a clock, a signal or a file is decided by one of them and told to all.
"""

from hessrun.ranks.group import (
    Place,
    barrier,
    has_left,
    is_writer,
    leave,
    leave_unless_all,
    on_this_machine,
    place,
    rank,
    size,
    start,
    stop,
)
from hessrun.ranks.numbers import agree, largest, require_same, require_same_text, sum_
from hessrun.ranks.telling import by_writer, together

__all__ = [
    "Place",
    "agree",
    "barrier",
    "by_writer",
    "has_left",
    "is_writer",
    "largest",
    "leave",
    "leave_unless_all",
    "on_this_machine",
    "place",
    "rank",
    "require_same",
    "require_same_text",
    "size",
    "start",
    "stop",
    "sum_",
    "together",
]
