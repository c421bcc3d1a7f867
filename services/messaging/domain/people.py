"""Who is one person: identities that were told to belong together, directly or through others.

A person's label is the smallest of their identities, so that it is the same in whatever order the links came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Merge:
    """What changes: labels that give way to others, and the labels of the identities at hand."""

    relabelled: dict[str, str]
    labels: dict[str, str]


def merge(links: Iterable[Iterable[str]], known: Mapping[str, str]) -> Merge:
    """Join groups of identities with what is known of them (identity -> label); commutes and may be repeated."""
    parent: dict[str, str] = {}

    def find(item: str) -> str:
        root = item
        while parent.setdefault(root, root) != root:
            root = parent[root]
        while parent[item] != root:
            parent[item], item = root, parent[item]
        return root

    def join(one: str, other: str) -> None:
        first, second = sorted((find(one), find(other)))
        parent[second] = first

    members: set[str] = set()
    old_labels: set[str] = set()
    for link in links:
        group = [identity for identity in link if identity]
        for identity in group:
            members.add(identity)
            join(group[0], identity)
            if identity in known:
                old_labels.add(known[identity])
                join(identity, known[identity])
    return Merge(
        relabelled={label: find(label) for label in old_labels if find(label) != label},
        labels={identity: find(identity) for identity in members},
    )
