"""Which ports stacks that start side by side are given."""

import os
import random
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from tools.stack.ports import Ports


@pytest.fixture(autouse=True)
def _same_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(random, "sample", lambda choice, count: list(choice)[:count])


def test_a_port_that_one_stack_was_given_is_not_given_to_another_before_it_listens() -> None:
    first, second = (set(asdict(Ports.any().settled(1)).values()) for _ in range(2))
    assert len(first) == len(second) == len(asdict(Ports.any()))
    assert first.isdisjoint(second)


def test_a_port_that_nobody_listens_on_after_a_while_may_be_given_again(tmp_path: Path) -> None:
    first = asdict(Ports.any().settled(1))
    long_ago = time.time() - 3_600
    for mark in tmp_path.glob("*/*"):
        os.utime(mark, (long_ago, long_ago))
    assert asdict(Ports.any().settled(1)) == first
