"""A handful of the faults of `make chaos ONLY=detector`, on one broker: seeded, and compared with the reference id by id."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.chaos.cluster import make_topics
from tests.chaos.detector import Trial
from tests.chaos.load import Pace
from trolleybus.topics import Topics

STORES = {"north": [((2, 4), 3_600), ((1, 3, 5), 3_600)], "south": [((2, 4), 7), ((3,), 6)]}


@pytest.mark.timeout(300)
async def test_P2_detectors_killed_joined_left_and_frozen_tell_what_the_reference_tells(
    env: dict[str, str], tmp_path: Path
) -> None:
    topics = Topics.load(prefix=f"short{uuid.uuid4().hex[:8]}.")
    trial = Trial(
        seed=7,
        env=env,
        target=await make_topics(env, topics),
        topics=topics,
        directory=tmp_path / "workers",
        pace=Pace(rate=250, flow=14, silence=6, change=5, imports=9),
        wanted={"kill": 2, "join": 1, "leave": 1, "stop": 1, "clock": 1},
        pause=(0.5, 2.0),
        peace_s=6.0,
        stores=STORES,
        kept=tmp_path / "found",
    )
    outcome = await trial.run()
    assert outcome.ok(), trial.samples()
    assert sum(outcome.faults.values()) == 6
    assert outcome.expected > 1_000
