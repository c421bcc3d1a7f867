"""`python -m services.analytics`."""

from services.analytics.app import build
from services.analytics.settings import AnalyticsSettings
from trolleybus.runtime import start

start(AnalyticsSettings, build)
