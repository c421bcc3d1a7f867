"""The smallest questions that tell whether a server answers."""

import asyncio

from tools.stack.ports import HOST


async def exchange(port: int, question: bytes, size: int) -> bytes:
    """The first bytes of a server's answer. Raises OSError while nobody listens."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(question)
        await writer.drain()
        return await reader.read(size)
    finally:
        writer.close()
        await writer.wait_closed()


async def http_ok(port: int, path: str) -> bool:
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
    answer = await exchange(port, request, 32)
    return answer.split(b" ")[1:2] == [b"200"]
