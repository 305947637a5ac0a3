"""The part of a split that this rank holds."""

from hessrun import ranks
from hessrun.objective.shard import Shard
from hessrun.problems.datasets.data import Split, StreamedSplit


def part_of(split: Split | StreamedSplit, shard: Shard) -> Split | StreamedSplit:
    """The examples of a shard, in memory of their own, so that the rest can be let go."""
    if shard.is_all:
        return split
    here = slice(shard.first, shard.stop)
    if isinstance(split, Split):
        return Split(split.inputs[here].clone(), split.targets[here].clone())
    classes = None if split.classes is None else split.classes[here].clone()
    return StreamedSplit(lambda places: split.read(places + shard.first), shard.count, classes)


def measured_here(split: Split | StreamedSplit) -> tuple[Split | StreamedSplit, float]:
    """What this rank measures of a held-out split, and what means over it count in the mean over all ranks."""
    total = len(split)
    if total < ranks.size():
        # There is not one for each: all measure all of them.
        return split, 1 / ranks.size()
    shard = Shard.of_this_rank(total)
    return part_of(split, shard), shard.count / total
