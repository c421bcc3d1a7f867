"""`python -m services.ingest`."""

from services.ingest.app import build
from services.ingest.settings import IngestSettings
from trolleybus.runtime import start

start(IngestSettings, build)
