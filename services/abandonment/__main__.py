"""`python -m services.abandonment`."""

from services.abandonment.app import build
from services.abandonment.settings import AbandonmentSettings
from trolleybus.runtime import start

start(AbandonmentSettings, build)
