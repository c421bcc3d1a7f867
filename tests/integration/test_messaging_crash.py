"""A process that dies between `calling` and its answer, and providers that never answer or say no."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest_asyncio

from tests.eventually import eventually
from tests.integration.messaging_harness import World, now_ms, running, world_around
from trolleybus.contracts.messages import MessageInDoubt

LEASES = {"CALL_LEASE_SECONDS": "3", "CLAIM_LEASE_SECONDS": "3", "SMTP_TIMEOUT_SECONDS": "0.5"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(env: dict[str, str]) -> AsyncIterator[World]:
    async with world_around(env, f"crash{uuid4().hex[:6]}.") as world:
        yield world


class Smarthost:
    """A mail server as small as can be; `on_mail` decides what follows the last dot."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.on_mail: Callable[[asyncio.StreamWriter], Awaitable[None]] = accept
        self.rcpt = "250 2.1.5 fine"
        self.rcpt_waits = 0.0
        self.asked = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 test\r\n")
            while line := await reader.readline():
                verb = line[:4].upper()
                if verb == b"QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                if verb == b"RCPT":
                    self.asked += 1
                    await asyncio.sleep(self.rcpt_waits)
                    writer.write(f"{self.rcpt}\r\n".encode())
                elif verb == b"DATA":
                    writer.write(b"354 go on\r\n")
                    self.mails.append(await reader.readuntil(b"\r\n.\r\n"))
                    await self.on_mail(writer)
                else:
                    writer.write(b"250 fine\r\n")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def accept(writer: asyncio.StreamWriter) -> None:
    writer.write(b"250 2.0.0 queued as 1\r\n")


async def say_nothing(writer: asyncio.StreamWriter) -> None:
    """It has the mail, and never says so."""


@asynccontextmanager
async def smarthost() -> AsyncIterator[Smarthost]:
    host = Smarthost()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()


def smtp(host: Smarthost, **settings: str) -> dict[str, str]:
    return {**LEASES, "TRANSPORT": "smtp", "SMTP_URL": f"smtp://127.0.0.1:{host.port}?starttls=0", **settings}


async def _in_doubt_is_told(world: World, message_id: str) -> None:
    async def told() -> bool:
        return any(isinstance(one, MessageInDoubt) for one in await world.told(message_id))

    await eventually(told)


async def test_P4_a_crash_between_calling_and_its_answer_leaves_one_mail_at_most_and_the_message_in_doubt(
    world: World, tmp_path: Path
) -> None:
    async with smarthost() as host:
        host.on_mail = say_nothing
        request = world.request("crash@example.com")
        # It waits for the answer for long, so that it dies while waiting.
        patient = smtp(host, SMTP_TIMEOUT_SECONDS="20", CALL_LEASE_SECONDS="100")
        async with running(world, tmp_path / "first.log", **patient) as first:
            await world.send(request)

            async def handed_over() -> int:
                return len(host.mails)

            await eventually(handed_over)
            assert await world.state(request.message_id) == "calling"
            await first.kill()
        async with world.database() as conn:  # The lease of the dead process, over at once.
            await conn.execute("UPDATE messages SET lease_until = 1 WHERE message_id = %s", [request.message_id])
        host.on_mail = accept
        async with running(world, tmp_path / "second.log", **smtp(host)) as second:
            await world.reaches(request.message_id, "in_doubt")
            await _in_doubt_is_told(world, request.message_id)
            other = world.request("after@example.com")
            await world.send(other)
            await world.reaches(other.message_id, "sent")
            assert await world.state(request.message_id) == "in_doubt"
            assert sum(request.message_id.encode() in mail for mail in host.mails) == 1

            path = f"/api/v1/messages/{request.message_id}/settle"
            settled = await second.post(path, json={"outcome": "sent", "note": "the provider's log has it"})
            assert settled.json()["state"] == "sent"
            assert (await second.post(path, json={"outcome": "sent", "note": "again"})).status_code == 409
            assert sum(request.message_id.encode() in mail for mail in host.mails) == 1


async def test_P4_a_provider_that_takes_the_mail_and_never_answers_leaves_it_in_doubt(
    world: World, tmp_path: Path
) -> None:
    async with smarthost() as host:
        host.on_mail = say_nothing
        async with running(world, tmp_path / "messaging.log", **smtp(host)):
            request = world.request("silence@example.com")
            await world.send(request)
            await world.reaches(request.message_id, "in_doubt")
            await _in_doubt_is_told(world, request.message_id)
            assert len(host.mails) == 1


async def test_P4_a_mail_that_was_surely_not_taken_is_tried_again_behind_a_new_barrier(
    world: World, tmp_path: Path
) -> None:
    async with smarthost() as host:
        host.rcpt = "451 4.7.1 try later"
        async with running(world, tmp_path / "messaging.log", **smtp(host, RETRY_FIRST_SECONDS="1")):
            request, buyer = world.request("later@example.com"), world.request("buys-meanwhile@example.com")
            await world.send(request, buyer)
            await world.reaches(request.message_id, "retry")
            await world.reaches(buyer.message_id, "retry")
            await world.send(world.order(cart_id=buyer.cart_id))
            host.rcpt = "250 2.1.5 fine"
            await world.reaches(request.message_id, "sent")
            await world.reaches(buyer.message_id, "refused")
            assert len(host.mails) == 1


async def test_P5_an_address_that_does_not_exist_gets_nothing_any_more(world: World, tmp_path: Path) -> None:
    async with smarthost() as host:
        host.rcpt = "550 5.1.1 no such user"
        async with running(world, tmp_path / "messaging.log", **smtp(host)):
            first = world.request("gone@example.com")
            await world.send(first)
            await world.reaches(first.message_id, "refused")
            host.rcpt = "250 2.1.5 fine"
            second = world.request("gone@example.com", purpose="transactional")
            await world.send(second)
            await world.reaches(second.message_id, "refused")
            rules = await world.rows(
                "SELECT rule FROM messages WHERE message_id = ANY(%s) ORDER BY requested_at",
                [first.message_id, second.message_id],
            )
            assert [row["rule"] for row in rules] == ["provider_rejected", "suppressed"]
            assert host.mails == []


async def test_P4_the_inbox_is_looked_up_for_what_is_in_doubt(world: World, tmp_path: Path) -> None:
    request = world.request("looked-up@example.com")
    async with running(world, tmp_path / "messaging.log"):
        await world.send(request)
        await world.reaches(request.message_id, "sent")
    # As if the process had died between the inbox's commit and its own.
    async with world.database() as conn:
        await conn.execute(
            "UPDATE messages SET state = 'calling', lease_until = 1, claim = claim + 1 WHERE message_id = %s",
            [request.message_id],
        )
    async with running(world, tmp_path / "again.log"):
        await world.reaches(request.message_id, "sent")
        rows = await world.rows("SELECT settled_by FROM messages WHERE message_id = %s", request.message_id)
        assert rows == [{"settled_by": "look-up"}]
        assert await world.mails(request.message_id) == 1


async def test_P3_a_claim_whose_process_dies_before_the_call_passes_the_barrier_again(
    world: World, tmp_path: Path
) -> None:
    request = world.request("claimed@example.com", not_before=now_ms() + 3_600_000)
    async with running(world, tmp_path / "messaging.log"):
        await world.send(request)
        await world.reaches(request.message_id, "queued")
        async with world.database() as conn:
            await conn.execute(
                "UPDATE messages SET state = 'claimed', claim = 1, lease_until = 1, due_at = 1 WHERE message_id = %s",
                [request.message_id],
            )
        await world.reaches(request.message_id, "sent")
        rows = await world.rows("SELECT claim FROM messages WHERE message_id = %s", request.message_id)
        assert rows == [{"claim": 2}]


async def test_P3_a_server_that_is_slow_before_the_mail_gets_it_only_behind_a_new_barrier(
    world: World, tmp_path: Path
) -> None:
    async with smarthost() as host:
        host.rcpt_waits = 2.5  # Longer than a barrier is good for.
        patient = smtp(host, SMTP_TIMEOUT_SECONDS="10", CALL_LEASE_SECONDS="60")
        async with running(world, tmp_path / "messaging.log", **patient):
            request, buyer = world.request("slow@example.com"), world.request("slow-buyer@example.com")
            await world.send(request, buyer)

            async def asked_for_both() -> bool:
                return host.asked == 2

            await eventually(asked_for_both)
            host.rcpt_waits = 0.0
            await world.send(world.order(cart_id=buyer.cart_id))
            await world.reaches(request.message_id, "sent")
            await world.reaches(buyer.message_id, "refused")
            assert len(host.mails) == 1
            rows = await world.rows(
                "SELECT called_at - barrier_read_at AS age FROM messages WHERE message_id = %s", request.message_id
            )
            assert 0 <= rows[0]["age"] <= 2000


async def test_P3_a_projection_above_the_end_of_the_log_sends_nothing(world: World, tmp_path: Path) -> None:
    async with running(world, tmp_path / "messaging.log") as messaging:
        place = "consumer LIKE '%%messaging.gate' AND topic LIKE '%%consent%%' AND partition = 3"
        async with world.database() as conn:
            await conn.execute(f"UPDATE kafka_positions SET next_offset = next_offset + 1000 WHERE {place}")
        request = world.request("restored@example.com")
        await world.send(request)
        await world.reaches(request.message_id, "queued")

        async def fails_closed() -> bool:
            return 'barrier_failures_total{reason="above_the_end"}' in (await messaging.get("/metrics")).text

        await eventually(fails_closed)
        assert await world.state(request.message_id) == "queued"
        async with world.database() as conn:
            await conn.execute(f"UPDATE kafka_positions SET next_offset = next_offset - 1000 WHERE {place}")
        await world.reaches(request.message_id, "sent")
