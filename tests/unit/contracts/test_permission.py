from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from trolleybus.contracts.consent import ConsentChanged
from trolleybus.contracts.permission import BASIS_GRANT, BASIS_SOFT_OPT_IN, Permission, fold, may_market

WORDS = st.builds(
    ConsentChanged,
    occurred_at=st.integers(0, 50),
    state=st.sampled_from(["granted", "revoked", "nonsense"]),
    by=st.sampled_from(["person", "shop", "sync"]),
    evidence=st.sampled_from(["", "checkbox"]),
    imported=st.booleans(),
)
HEARD = st.lists(st.tuples(WORDS, st.integers(1, 60)), max_size=8)


def add_up(heard: list[tuple[ConsentChanged, int]]) -> Permission:
    return reduce(lambda permission, word: fold(permission, *word), heard, Permission())


def word(state: str, by: str, at: int, evidence: str = "", imported: bool = False) -> tuple[ConsentChanged, int]:
    return ConsentChanged(state=state, by=by, occurred_at=at, evidence=evidence, imported=imported), at


@given(HEARD, st.randoms())
def test_P5_words_add_up_the_same_in_any_order_and_said_twice(
    heard: list[tuple[ConsentChanged, int]], random: object
) -> None:
    shuffled = list(heard) * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert add_up(heard) == add_up(shuffled)


@given(HEARD, st.integers(1, 40))
def test_P5_a_persons_no_survives_every_sync_and_import(heard: list[tuple[ConsentChanged, int]], at: int) -> None:
    others = [(change, arrival) for change, arrival in heard if change.by != "person" or change.imported]
    assert add_up([word("revoked", "person", at), *others]).state() == "revoked"


def test_P5_a_persons_own_later_yes_with_evidence_undoes_their_no() -> None:
    no = word("revoked", "person", 10)
    assert add_up([no, word("granted", "person", 11, evidence="checkbox")]).state() == "granted"
    assert add_up([no, word("granted", "person", 11)]).state() == "revoked"
    assert add_up([no, word("granted", "person", 10, evidence="checkbox")]).state() == "revoked"
    assert add_up([no, word("granted", "person", 11, evidence="checkbox", imported=True)]).state() == "revoked"


def test_P5_a_word_dated_in_the_future_counts_from_its_arrival() -> None:
    future = ConsentChanged(state="granted", by="shop", occurred_at=10_000)
    assert add_up([(future, 20), word("revoked", "shop", 30)]).state() == "revoked"


def test_P5_silence_is_a_no_but_for_mail_on_a_soft_opt_in() -> None:
    assert not may_market(Permission(), "email", BASIS_GRANT)
    assert may_market(Permission(), "email", BASIS_SOFT_OPT_IN)
    assert not may_market(Permission(), "sms", BASIS_SOFT_OPT_IN)
    assert not may_market(add_up([word("revoked", "shop", 1)]), "email", BASIS_SOFT_OPT_IN)
    assert may_market(add_up([word("granted", "shop", 1)]), "sms", BASIS_GRANT)
