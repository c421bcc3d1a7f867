"""`python -m services.campaigns`, but on a database of the test's own: DATABASE_NAME."""

from services.campaigns.app import build
from services.campaigns.settings import CampaignsSettings
from trolleybus.runtime import start


class OwnDatabase(CampaignsSettings):
    database_name: str

    @property
    def database_url(self) -> str:
        return super().database_url.replace("/trolleybus_campaigns", f"/{self.database_name}")


if __name__ == "__main__":
    start(OwnDatabase, build)
