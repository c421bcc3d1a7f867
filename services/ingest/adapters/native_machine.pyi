from collections.abc import Callable
from typing import Any

from services.ingest.adapters.seam import Arrival
from services.ingest.api.bodies import Items
from services.ingest.domain.sealed import Sealed
from trolleybus.envelope import Frame

class Events:
    def __len__(self) -> int: ...

def read(body: bytes) -> Items | None: ...

class Sealing:
    def __init__(self, write: Callable[[tuple[Any, ...]], bytes], frame: Frame, largest: int) -> None: ...
    def seal(self, events: Events, arrival: Arrival, start: int, stop: int) -> list[Sealed]: ...

def version_5(name: bytes) -> str: ...
