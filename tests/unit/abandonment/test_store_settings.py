"""Which settings a record is judged by when its version is not known yet."""

from __future__ import annotations

from typing import cast

import pytest

from services.abandonment.store_settings import FORGET_AFTER, StoreSettings, UnknownStore
from tests.unit.abandonment.records import STORE
from trolleybus.contracts.stores import StoreConfig
from trolleybus.store_directory import StoreDirectory, StoreIndex


class Topic(StoreIndex):
    """A directory whose topic holds settings that only a refresh brings."""

    def __init__(self, *unread: StoreConfig) -> None:
        super().__init__()
        self.unread = list(unread)
        self.refreshed = 0

    async def refresh(self) -> None:
        self.refreshed += 1
        while self.unread:
            self.add(self.unread.pop())


def config(version: int) -> StoreConfig:
    return StoreConfig(store_id=STORE, version=version)


def settings_on(topic: Topic, now: list[float]) -> StoreSettings:
    return StoreSettings(cast(StoreDirectory, topic), monotonic=lambda: now[0])


async def test_a_version_that_is_not_there_yet_is_read_from_the_topic() -> None:
    topic = Topic(config(2))
    topic.add(config(1))
    assert (await settings_on(topic, [100.0]).resolve(STORE, 2)).version == 2
    assert topic.refreshed == 1


async def test_a_version_that_the_topic_lacks_falls_back_to_the_latest() -> None:
    topic = Topic()
    topic.add(config(1))
    topic.add(config(3))
    assert (await settings_on(topic, [100.0]).resolve(STORE, 9)).version == 3


async def test_a_record_is_judged_by_its_version_and_by_the_latest_only_once_the_topic_was_read() -> None:
    topic = Topic()
    topic.add(config(1))
    settings = settings_on(topic, [100.0])
    assert settings.of_record(STORE, 2) is None
    topic.unread = [config(2)]
    await settings.resolve(STORE, 2)
    found = settings.of_record(STORE, 2)
    assert found is not None
    assert found is settings.of_record(STORE, 2)
    await settings.resolve(STORE, 9)
    assert settings.of_record(STORE, 9) is found


async def test_P8_an_unknown_store_is_named_and_not_asked_for_at_every_record() -> None:
    topic, now = Topic(), [100.0]
    settings = settings_on(topic, now)
    for _ in range(5):
        with pytest.raises(UnknownStore, match="nobody"):
            await settings.resolve("nobody", 1)
    assert topic.refreshed == 1
    now[0] += FORGET_AFTER
    with pytest.raises(UnknownStore):
        await settings.resolve("nobody", 1)
    assert topic.refreshed == 2
