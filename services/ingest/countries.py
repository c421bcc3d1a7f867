"""In which country an address is, by a file that the installation brings (MMDB: DB-IP's and MaxMind's country databases)."""

from pathlib import Path

import maxminddb

from services.ingest.domain.addresses import Address


class Countries:
    """Reads the file at the start; another one counts from the next start on. Raises ValueError where it is none."""

    def __init__(self, path: Path) -> None:
        try:
            self._reader = maxminddb.open_database(path)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            raise ValueError(f"{path} is not read as an MMDB file: {error}") from error

    def of(self, address: Address) -> str:
        """ISO 3166 alpha-2; "" where it is not known."""
        try:
            found = self._reader.get(address)
        except ValueError:  # IPv6, and the file has IPv4 only.
            return ""
        country = found.get("country") if isinstance(found, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) else ""
