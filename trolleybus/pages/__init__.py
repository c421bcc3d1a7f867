"""One layout for the pages of every service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request

from trolleybus import __version__
from trolleybus.settings import ServiceSettings

HERE = Path(__file__).parent
STATIC = HERE / "static"
SERVICES = ("ingest", "abandonment", "campaigns", "messaging", "analytics")


@dataclass(frozen=True, slots=True)
class NavigationLink:
    label: str
    href: str
    service: str
    path: str

    def is_current(self, service: str, path: str) -> bool:
        return service == self.service and (path == self.path or path.startswith(f"{self.path}/"))


class Pages:
    """Renders a service's templates, which extend "layout.html" (blocks: title, content, scripts)."""

    def __init__(self, settings: ServiceSettings, *templates: Path) -> None:
        self._settings = settings
        self._environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in (*templates, HERE / "templates")]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(iso=iso, utc=utc, number=number)
        self._environment.globals.update(
            service=settings.service,
            version=__version__,
            navigation=[
                NavigationLink("Dashboard", f"{settings.analytics_url}/dashboard", "analytics", "/dashboard"),
                NavigationLink("Campaigns", f"{settings.campaigns_url}/campaigns", "campaigns", "/campaigns"),
                NavigationLink("Stores", f"{settings.campaigns_url}/stores", "campaigns", "/stores"),
                NavigationLink("Inbox", f"{settings.messaging_url}/inbox", "messaging", "/inbox"),
            ],
            services=[(name, getattr(settings, f"{name}_url")) for name in SERVICES],
        )

    @property
    def environment(self) -> Environment:
        """For a service's own filters (money, times)."""
        return self._environment

    def render(self, request: Request, name: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """Raises jinja2.UndefinedError for a name that the context lacks."""
        template = self._environment.get_template(name)
        return HTMLResponse(template.render(request=request, **context), status)


def iso(ms: int) -> str:
    """Milliseconds since the epoch for a <time datetime>."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def number(value: float) -> str:
    """With narrow spaces between thousands: no language reads them as decimals."""
    return f"{value:,}".replace(",", "\u202f")
