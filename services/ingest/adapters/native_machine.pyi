from collections.abc import Callable
from typing import Final

from services.ingest.adapters.seam import Arrival
from services.ingest.api.bodies import Items
from services.ingest.domain.sealed import Sealed
from trolleybus.avro.layout import Layout
from trolleybus.envelope import Frame, Headers

PATHS: Final[tuple[str, ...]]

class Events:
    def __len__(self) -> int: ...

class Parcel:
    topic: str
    parcel: bytes
    @property
    def size(self) -> int: ...
    @property
    def value(self) -> bytes: ...
    @property
    def key(self) -> bytes: ...
    @property
    def headers(self) -> Headers: ...

def read(body: bytes) -> Items | None: ...

class Sealing:
    def __init__(self, layout: Callable[[], Layout], frame: Frame, largest: int) -> None: ...
    def seal(self, events: Events, arrival: Arrival, start: int, stop: int) -> list[Sealed]: ...

def version_5(name: bytes) -> tuple[str, str]: ...
