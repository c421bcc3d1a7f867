"""One at a time, over all processes: a key in Valkey that its holder renews, and that expires should the holder die."""

import uuid

from redis.asyncio import Redis

# KEYS: the key; ARGV: who asks, for how many seconds.
_HOLD = """
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'ex', ARGV[2])
return 1
"""
_LEAVE = """
if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end
return 1
"""


class Alone:
    """Both questions may be put twice: the holder gets the same answer again."""

    def __init__(self, key: str, seconds: int) -> None:
        self._key = key
        self._seconds = seconds
        self._holder = uuid.uuid4().hex

    async def hold(self, client: Redis) -> bool:
        """From now for that long, or False where another holds it."""
        return bool(await client.eval(_HOLD, 1, self._key, self._holder, self._seconds))

    async def leave(self, client: Redis) -> bool:
        """Another's is left as it is."""
        return bool(await client.eval(_LEAVE, 1, self._key, self._holder))
