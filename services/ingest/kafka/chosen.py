"""Which producer there is: the one in C where that is built (see hatch_build.py), else the one in Python."""

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

from services.ingest.kafka.seam import Kafka

COMPILED: Final = find_spec("services.ingest.kafka.kafka_machine") is not None
"""Whether it is C that calls librdkafka; a module that is there and cannot be loaded is an error."""


def begun(settings: Mapping[str, object], logger: logging.Logger) -> Kafka:
    """A producer with librdkafka's own settings; what librdkafka logs goes to the logger. Its threads run until it is closed."""
    if COMPILED:
        from services.ingest.kafka.kafka_machine import Librdkafka  # noqa: PLC0415 - not there everywhere

        return Librdkafka(settings, logger)
    from services.ingest.kafka.confluent import Confluent  # noqa: PLC0415 - what is not needed is not loaded

    return Confluent(settings, logger)
