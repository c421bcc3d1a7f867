"""What the outbox sends together."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from trolleybus.envelope import Outgoing
from trolleybus.outbox import Row, waves


@given(st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=40))
def test_no_record_is_sent_beside_an_earlier_one_of_its_key(keys: list[bytes]) -> None:
    """So that a failure between the two can never turn them round."""
    rows = [Row(seq, Outgoing("t", key, b"", [])) for seq, key in enumerate(keys)]
    sent: dict[bytes, list[int]] = defaultdict(list)
    for wave in waves(rows):
        assert wave
        assert len({row.outgoing.key for row in wave}) == len(wave)
        for row in wave:
            sent[row.outgoing.key].append(row.seq)
    assert sent == {key: [seq for seq, one in enumerate(keys) if one == key] for key in set(keys)}
