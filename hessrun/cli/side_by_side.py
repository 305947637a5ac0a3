"""How many cells of a sweep run at a time on this machine, and the threads that each of them gets."""

import os
from collections.abc import Mapping, Sequence
from typing import Any


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(launcher: Mapping[str, Any], cells: int) -> int | None:
    """How many of `cells` run at once here; None where the launcher sends them to machines that are not this one.

    launcher: the configuration of Hydra's.
    """
    target = str(launcher.get("_target_", ""))
    if "basic_launcher" in target:
        return 1
    if "joblib" in target:
        wanted = int(launcher.get("n_jobs", -1))
        return min(cells, max(1, wanted if wanted > 0 else cores() + 1 + wanted))
    if target.endswith("submitit_launcher.LocalLauncher"):
        return cells  # it starts them all
    if target.endswith("ray_launcher.RayLauncher"):
        return min(cells, cores())
    return None


def with_shared_threads(batch: Sequence[Sequence[str]], at_once: int | None) -> list[list[str]]:
    """The cells' words, each with `threads=` where several run at once and nothing says how many threads they take."""
    if at_once is None or at_once < 2:
        return [list(words) for words in batch]
    share = f"threads={max(1, cores() // at_once)}"
    return [[*words, *([] if value_of(words, "threads") else [share])] for words in batch]


def value_of(words: Sequence[str], key: str) -> str | None:
    """What the words say of a key, the last one; None where they do not."""
    found = [word.lstrip("+").partition("=")[2] for word in words if word.lstrip("+").startswith(f"{key}=")]
    return found[-1] if found else None
