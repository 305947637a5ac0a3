"""What each version of the protocol asks of a run; a manifest names the version it was run under.

Runs of different versions are not compared with one another: their seconds do not mean the same.
"""

VERSIONS = {
    1: "Same start and batch order at a seed, an uncounted evaluation before the clocks start, four clocks apart.",
    2: (
        "As 1; a gradient at the start point is timed before and after each run, a run knows its suite and its target, "
        "and what was run to tune (role `tuning`) is kept apart from what is reported (role `reporting`)."
    ),
}
PROTOCOL = max(VERSIONS)

ROLES = ("reporting", "tuning")
