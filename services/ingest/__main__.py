"""`python -m services.ingest`."""

from services.ingest.app import build
from services.ingest.settings import IngestSettings
from trolleybus.workers import start

start(IngestSettings, build)
