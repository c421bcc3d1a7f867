"""Any record, and a registry to name its schema, without a server."""

from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from trolleybus.codec import Codec
from trolleybus.contracts.records import RECORDS, Record
from trolleybus.registry import NotRegistered
from trolleybus.topics import Topics

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


class RegistryInMemory:
    """Ids by counting: what the registry answers, without one (the real one is in the integration tests)."""

    def __init__(self) -> None:
        self.by_text: dict[str, int] = {}

    async def id_of(self, subject_name: str, schema: str) -> int:
        return self.by_text.setdefault(schema, len(self.by_text) + 100)

    async def schema_of(self, schema_id: int) -> str:
        for text, known in self.by_text.items():
            if known == schema_id:
                return text
        raise NotRegistered("unknown")


@cache
def values_of(hint: Any) -> st.SearchStrategy[Any]:
    if is_dataclass(hint):
        return st.builds(hint, **{field.name: values_of(get_type_hints(hint)[field.name]) for field in fields(hint)})  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        return st.lists(values_of(get_args(hint)[0]), max_size=2).map(tuple)
    if get_args(hint):
        return st.dictionaries(TEXT, TEXT, max_size=2)
    plain: dict[type, st.SearchStrategy[Any]] = {
        str: TEXT,
        int: st.integers(-(2**63), 2**63 - 1),
        float: st.floats(allow_nan=False),
        bool: st.booleans(),
    }
    return plain[hint]


KINDS: list[Any] = sorted(RECORDS.values(), key=lambda kind: kind.__name__)
RECORD = st.sampled_from(KINDS).flatmap(values_of)


async def prepared(*kinds: type[Record]) -> Codec:
    codec = Codec(RegistryInMemory(), Topics.load())  # type: ignore[arg-type]
    await codec.prepare(*(kinds or RECORDS.values()))
    return codec
