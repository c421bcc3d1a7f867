"""`python -m services.campaigns`."""

from services.campaigns.app import build
from services.campaigns.settings import CampaignsSettings
from trolleybus.runtime import start

start(CampaignsSettings, build)
