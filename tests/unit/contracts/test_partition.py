from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from trolleybus.contracts.partition import murmur2, partition_of

# From Apache Kafka's own UtilsTest.testMurmur2 (signed 32-bit there).
KAFKA_VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def test_murmur2_gives_what_kafkas_java_client_gives() -> None:
    signed = {key: murmur2(key) - (1 << 32 if murmur2(key) >= 1 << 31 else 0) for key in KAFKA_VECTORS}
    assert signed == KAFKA_VECTORS


@given(st.binary(min_size=1, max_size=80), st.integers(1, 64))
def test_a_key_stands_where_aiokafka_puts_it(key: bytes, partitions: int) -> None:
    everywhere = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, everywhere, everywhere)
