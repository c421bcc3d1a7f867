"""Consuming topics into PostgreSQL, exactly once into the database."""

from trolleybus.consumer.group import Consumer
from trolleybus.consumer.metrics import ConsumerMetrics
from trolleybus.consumer.positions import Fenced, Offsets, Progress, positions
from trolleybus.consumer.processing import BatchHandler, UnreadableHandler, traced

__all__ = [
    "BatchHandler",
    "Consumer",
    "ConsumerMetrics",
    "Fenced",
    "Offsets",
    "Progress",
    "UnreadableHandler",
    "positions",
    "traced",
]
