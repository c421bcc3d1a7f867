"""Detectors under random faults, compared with the reference id by id; in seeded runs that add up over several calls.

Kept in build/chaos-detector/: runs.jsonl (one line a run), faults.jsonl (one line a fault), and of each run that found something
the logs and samples.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.cluster import Cluster, make_topics, running_cluster
from tests.chaos.compare import Findings, Question, compare
from tests.chaos.faults import KINDS, Fault, Faults, Scene
from tests.chaos.load import STORES, Load, Pace, Stores, Target, silence_after
from tests.chaos.workers import Workers
from trolleybus.topics import Topics

KEPT = Path("build/chaos-detector")
RUNS = KEPT / "runs.jsonl"
EVENTS, FAULTS, OF_EACH = 2_000_000, 200, 20
A_RUN = {"kill": 8, "join": 5, "leave": 5, "stop": 6, "leader": 6, "proxy": 6, "clock": 5}
EVENTS_A_MINUTE = 80_000
SLOTS = 4
PEACE_S = 20.0  # Without faults at the beginning: nothing may stand twice that was told then.
AFTERMATH_MS = (
    45_000  # For so long after a fault is over its repeats may still come: a session, a restore and what waited.
)
ENDED_AT_MOST = 40
COMPARED_WITHIN_S = 150.0


@dataclass(slots=True)
class Outcome:
    """What a run, or several, found, as it is kept in build/chaos.json."""

    suite: str = "detector"
    runs: int = 0
    events: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    expected: int = 0
    told: int = 0
    missing: int = 0
    unknown: int = 0
    duplicates: int = 0
    duplicates_committed: int = 0
    duplicates_in_peace: int = 0
    differing: int = 0
    unequal_repeats: int = 0
    misordered: int = 0
    early: int = 0
    ended_by_themselves: int = 0
    not_ready_in_time: int = 0

    def ok(self) -> bool:
        """Whether every promise held."""
        wrong = (self.missing, self.unknown, self.duplicates_in_peace, self.differing, self.unequal_repeats)
        return not any((*wrong, self.misordered, self.early))

    def add(self, other: Mapping[str, Any]) -> None:
        """One run more."""
        for name in self.__slots__:
            if name == "faults":
                self.faults = dict(Counter(self.faults) + Counter(other["faults"]))
            elif name != "suite":
                setattr(self, name, getattr(self, name) + other[name])

    def complete(self) -> bool:
        """Whether enough was done."""
        return (
            self.events >= EVENTS
            and sum(self.faults.values()) >= FAULTS
            and all(self.faults.get(kind, 0) >= OF_EACH for kind in KINDS)
        )


async def run(seed: int, minutes: float, runs: int = 1_000) -> Outcome:
    """So many more runs of about so many minutes, until the totals are reached; what earlier calls found is counted in."""
    before = _earlier()
    total = Outcome()
    for one in before:
        total.add(one["outcome"])
    done = {one["seed"] for one in before}
    while not total.complete() and runs > 0:
        while seed in done:
            seed += 1
        outcome = await _one_run(seed, minutes)
        _write(RUNS, {"seed": seed, "outcome": asdict(outcome)})
        done.add(seed)
        total.add(asdict(outcome))
        runs -= 1
        print(f"all runs: {_brief(total)}", flush=True)
    return total


def _earlier() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []


def _write(path: Path, line: dict[str, Any]) -> None:
    text = json.dumps(line) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lines:
        lines.write(text)


def forget() -> None:
    """What earlier runs found."""
    shutil.rmtree(KEPT, ignore_errors=True)


async def _one_run(seed: int, minutes: float) -> Outcome:
    began = time.monotonic()
    random = Random(f"run {seed}")
    with tempfile.TemporaryDirectory(prefix="trolleybus-chaos-") as folder:
        async with running_cluster(Path(folder) / "stack") as cluster:
            topics = Topics.load(prefix=f"chaos{seed}.")
            target = await make_topics(cluster.env, topics)
            trial = Trial(
                seed=seed,
                env={
                    **cluster.env,
                    "KAFKA_BOOTSTRAP_SERVERS": cluster.workers_bootstrap,
                    "STANDBY_REPLICAS": str(random.randrange(2)),
                },
                target=target,
                topics=topics,
                directory=Path(folder) / "workers",
                cluster=cluster,
                pace=Pace(rate=1_800),
                events=round(EVENTS_A_MINUTE * minutes),
                wanted={kind: max(1, round(count * minutes / 5)) for kind, count in A_RUN.items()},
                pause=(1.0, 4.0),
                peace_s=PEACE_S,
                stores=STORES,
            )
            outcome = await trial.run()
            print(f"run {seed}: {_brief(outcome)}, {time.monotonic() - began:.0f} s", flush=True)
            return outcome


@dataclass(kw_only=True)
class Trial:
    """One load, one bag of faults, one comparison. `env` is the detectors'."""

    seed: int
    env: Mapping[str, str]
    target: Target
    topics: Topics
    directory: Path
    pace: Pace
    wanted: Mapping[str, int]
    pause: tuple[float, float]
    peace_s: float
    stores: Stores
    events: int = 0  # At least so many.
    cluster: Cluster | None = None
    kept: Path = KEPT
    outcome: Outcome = field(default_factory=lambda: Outcome(runs=1))

    async def run(self) -> Outcome:
        """Everything it starts has ended when it returns."""
        workers = Workers(self.directory, self._workers_env(), SLOTS, ended=self._ended)
        scene = Scene(workers, self.target.activity, self.cluster)
        faults = Faults(scene, Random(f"faults {self.seed}"), self.wanted, self.pause)
        load = Load(self.target, self.pace, self.stores, self.seed)
        await asyncio.to_thread(load.open_stores)
        watching = asyncio.create_task(workers.watch())
        try:
            for slot in workers.slots[:2]:
                await workers.start(slot)
            loading = asyncio.create_task(asyncio.to_thread(load.run))
            progress = asyncio.create_task(self._progress(load, faults))
            try:
                await _unless(asyncio.sleep(self.peace_s), loading, watching)
                await _unless(faults.run(self._struck), loading, watching)
                await _unless(self._enough(load), loading, watching)
            finally:
                progress.cancel()
                load.stop()
                await loading
            print(f"run {self.seed}: {load.acknowledged} events in all; comparing", flush=True)
            findings = await _unless(asyncio.to_thread(compare, self._question(load)), watching)
            self._judge(load, faults, findings)
            if not self.outcome.ok():
                self._keep(findings)
            return self.outcome
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await workers.end()

    def _workers_env(self) -> dict[str, str]:
        prefix = self.topics["stores"].full_name.removesuffix("stores.v1")
        return {**self.env, "TOPIC_PREFIX": prefix, "SESSION_TIMEOUT_SECONDS": "6"}

    def _question(self, load: Load) -> Question:
        ended = time.time()
        settings: dict[str, dict[int, dict[str, Any]]] = {}
        for one in load.settings:
            plain = {"levels": one.levels, "expiry": one.expiry, "detection_from": 0}
            settings.setdefault(one.store_id, {})[one.version] = plain
        return Question(
            bootstrap=self.target.bootstrap,
            registry_url=self.env["SCHEMA_REGISTRY_URL"],
            activity=self.target.activity,
            recovery=self.topics["recovery.carts"].full_name,
            partitions=tuple(range(self.target.partitions)),
            settings=settings,
            until=int((ended + silence_after(self.stores)) * 1000),
            deadline=ended + COMPARED_WITHIN_S,
        )

    def _judge(self, load: Load, faults: Faults, findings: Findings) -> None:
        for name in Findings.__slots__:
            if name in Outcome.__slots__:
                setattr(self.outcome, name, getattr(findings, name))
        self.outcome.events = load.acknowledged
        self.outcome.faults = dict(faults.counts())
        for partition, at in findings.repeats:
            since = [at - fault.ended for fault in faults.done if fault.began <= at]
            if not since or min(since) > AFTERMATH_MS:
                self.outcome.duplicates_in_peace += 1
                when = f"{min(since) / 1000:.1f} s after the last fault" if since else "before any fault"
                text = f"partition {partition} at {at}, {when}"
                findings.sample("duplicate in peace", self.outcome.duplicates_in_peace, text)

    def _struck(self, fault: Fault) -> None:
        self.outcome.not_ready_in_time += not fault.recovered
        _write(self.kept / "faults.jsonl", {"seed": self.seed, **asdict(fault)})
        late = "" if fault.recovered else " — NOT READY AGAIN IN TIME"
        print(
            f"  {fault.kind} {fault.target} {fault.detail}, {(fault.ended - fault.began) / 1000:.1f} s{late}",
            flush=True,
        )

    def _ended(self, name: str, log_end: str) -> None:
        self.outcome.ended_by_themselves += 1
        last = log_end.strip().splitlines()[-1:] or ["no word"]
        print(f"  {name} ended by itself and is started again: {last[0][:300]}", flush=True)
        if self.outcome.ended_by_themselves > ENDED_AT_MOST:
            raise RuntimeError(f"the detectors do not stay up; {name} said:\n{log_end}")

    def samples(self) -> str:
        """What was found wrong, and where it is kept."""
        kept = self.kept / f"run-{self.seed}" / "samples.txt"
        return f"{_brief(self.outcome)}; see {kept}:\n{kept.read_text() if kept.exists() else ''}"

    async def _enough(self, load: Load) -> None:
        while load.acknowledged < self.events:  # noqa: ASYNC110 - another thread counts
            await asyncio.sleep(0.2)

    async def _progress(self, load: Load, faults: Faults) -> None:
        while True:
            print(
                f"run {self.seed}: {load.sent} events, {len(faults.done)}/{sum(self.wanted.values())} faults",
                flush=True,
            )
            await asyncio.sleep(10)

    def _keep(self, findings: Findings) -> None:
        """What is needed to find out why."""
        folder = self.kept / f"run-{self.seed}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.directory / "logs", folder / "logs")
        (folder / "samples.txt").write_text("\n".join(findings.samples) + "\n")
        print(f"  see {folder}:\n  " + "\n  ".join(findings.samples[:10]), flush=True)


async def _unless(work: Any, *others: asyncio.Task[Any]) -> Any:
    """The work's result; raises what one of the others ends with before that."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, *others}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        for other in others:
            if other.done():
                other.result()
                raise RuntimeError("what should go on has ended")
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _brief(outcome: Outcome) -> str:
    said = {name: value for name, value in asdict(outcome).items() if name not in ("suite", "faults")}
    return ", ".join(f"{name} {value}" for name, value in said.items()) + f", faults {outcome.faults}"
