"""Who is one person, in whatever order it is told."""

from hypothesis import given
from hypothesis import strategies as st

from services.messaging.domain.people import merge

IDENTITIES = [f"email:v1:{number:02}" for number in range(12)]
LINKS = st.lists(st.lists(st.sampled_from(IDENTITIES), min_size=1, max_size=4), max_size=12)


def told(batches: list[list[list[str]]]) -> dict[str, str]:
    """The table after batches of links."""
    table: dict[str, str] = {}
    for links in batches:
        named = {identity for link in links for identity in link}
        merged = merge(links, {identity: table[identity] for identity in named if identity in table})
        table = {identity: merged.relabelled.get(label, label) for identity, label in table.items()} | merged.labels
    return table


def components(links: list[list[str]]) -> dict[str, str]:
    """The same by brute force: each link swallows the groups that it touches."""
    groups: list[set[str]] = []
    for link in links:
        touching = [group for group in groups if group & set(link)]
        groups = [group for group in groups if group not in touching] + [set(link).union(*touching)]
    return {identity: min(group) for group in groups for identity in group}


@given(LINKS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_P3_a_person_is_the_same_in_whatever_order_and_batches_the_links_come(
    links: list[list[str]], random: object, size: int
) -> None:
    shuffled = list(links)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    batches = [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
    assert told([links]) == told(batches) == components(links)


@given(LINKS)
def test_P6_links_told_twice_change_nothing(links: list[list[str]]) -> None:
    once = told([links])
    assert told([links, links]) == once
