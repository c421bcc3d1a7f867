"""The schema registry, by its Confluent API: ids of schemas, and schemas of ids."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

import httpx2

from trolleybus.topics import Topic

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


class RegistryError(Exception):
    """The registry refused, or could not be reached."""


class NotRegistered(RegistryError):
    """The registry does not know the schema or the id."""


def subject(topic: Topic, record: str) -> str:
    """Name under which a record's schema is registered for a topic (TopicRecordName strategy)."""
    return f"{topic.full_name}-trolleybus.{record}"


class Registry:
    """A client of the registry; closed by `async with` or aclose()."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx2.AsyncClient(
            base_url=url.rstrip("/") + "/", timeout=10, headers={"Content-Type": CONTENT_TYPE}
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def register(self, subject_name: str, schema: str) -> int:
        """Register a schema under a subject, the same one again at no cost; its id."""
        answer = await self._call("POST", f"subjects/{subject_name}/versions", {"schema": schema})
        return int(answer["id"])

    async def id_of(self, subject_name: str, schema: str) -> int:
        """Id of a schema that is registered already; NotRegistered else."""
        answer = await self._call("POST", f"subjects/{subject_name}", {"schema": schema})
        return int(answer["id"])

    async def schema_of(self, schema_id: int) -> str:
        """Text of the schema with that id; NotRegistered else."""
        answer = await self._call("GET", f"schemas/ids/{schema_id}", None)
        return str(answer["schema"])

    async def set_compatibility(self, subject_name: str, level: str) -> None:
        """Let the registry itself refuse an incompatible version of a subject."""
        await self._call("PUT", f"config/{subject_name}", {"compatibility": level})

    async def _call(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        try:
            answer = await self._http.request(method, path, content=None if body is None else json.dumps(body))
        except httpx2.HTTPError as error:
            raise RegistryError(f"the schema registry at {self._url} does not answer: {error!r}") from error
        if answer.status_code == 404:
            raise NotRegistered(f"the schema registry does not know {path}")
        if answer.status_code >= 400:
            raise RegistryError(
                f"the schema registry refused {method} {path}: {answer.status_code} {answer.text[:500]}"
            )
        result: dict[str, Any] = answer.json()
        return result
