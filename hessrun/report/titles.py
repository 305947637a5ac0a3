"""Problems' titles short enough to stand beside an axis, and in a sentence."""

from collections.abc import Sequence

from hessrun.report.groups import Group


def short_titles(groups: Sequence[Group]) -> dict[str, str]:
    """By title, its part before the first comma or bracket, and as little as tells two such problems apart.

    That is the number of parameters, else the first setting in which they all differ, else all settings in which some
    of them differ.
    """
    heads = {group.title: group.title.split(",", 1)[0].split(" (", 1)[0] for group in groups}
    return {group.title: _told_apart(group, [g for g in groups if heads[g.title] == heads[group.title]], heads)
            for group in groups}  # fmt: skip


def _told_apart(group: Group, alike: Sequence[Group], heads: dict[str, str]) -> str:
    head = heads[group.title]
    if len(alike) == 1:
        return head
    if len({other.n_parameters for other in alike}) == len(alike):
        return f"{head}, n={group.n_parameters:,}"
    # Problems of one head have the same settings, in the same order.
    columns = list(zip(*(_settings(other) for other in alike), strict=False))
    own = alike.index(group)
    for column in columns:
        if len(set(column)) == len(alike):
            return f"{head}, {column[own]}"
    told = [column[own] for column in columns if len(set(column)) > 1]
    return ", ".join([head, *told]) if told else f"{head}, {own + 1} of {len(alike)}"


def _settings(group: Group) -> list[str]:
    """What its title has after the first comma, such as `weight decay 0.01`, and in brackets, `key=value` each."""
    before, _, bracket = group.title.partition(" (")
    return before.split(", ")[1:] + (bracket.removesuffix(")").split(", ") if bracket else [])
