"""`python -m services.messaging`."""

from services.messaging.app import build
from services.messaging.settings import MessagingSettings
from trolleybus.runtime import start

start(MessagingSettings, build)
