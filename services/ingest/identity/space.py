"""Persons in Valkey: pointers from identities to persons, one document a person; nothing but hashes and the shop's own ids.

Every key lies in a space with a number, and one key says which space is in use: a rebuild fills the next one and swaps.
The scripts reach keys that they find on the way, so the map wants one Valkey (with replicas), not a cluster.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from redis.asyncio import Redis

from services.ingest.domain.persons import Person
from services.ingest.domain.remembering import OpenCart
from services.ingest.valkey import Valkey
from trolleybus.telemetry import get_logger

logger = get_logger(__name__)

KEPT_S = 35 * 86_400
"""Longer than a person stays known without being seen again; the log that it is rebuilt from goes back 28 days."""
IN_USE = "trolleybus:identity:space"

# A document reads `<version>|<person>`, or `><name>` where the person turned out to be another.
_RESOLVE = """
local function resolve(base, hash)
  local name = redis.call('GET', base .. 'of:' .. hash)
  for _ = 1, 8 do
    if not name then return '', '' end
    local doc = redis.call('GET', base .. 'person:' .. name)
    if not doc then return '', '' end
    if string.sub(doc, 1, 1) ~= '>' then return name, doc end
    name = string.sub(doc, 2)
  end
  return '', ''
end
"""
# KEYS: the key of the space in use; ARGV: hashes (one a line), the space to read ('' for the one in use).
# Answer: the space, the name of each hash's person, then a name and a document by turns; one a line.
_READ = (
    _RESOLVE
    + """
local space = ARGV[2]
if space == '' then space = redis.call('GET', KEYS[1]) or '0' end
local base = KEYS[1] .. ':' .. space .. ':'
local answer, documents, seen = {space}, {}, {}
for hash in string.gmatch(ARGV[1], '[^\\n]+') do
  local name, doc = resolve(base, hash)
  answer[#answer + 1] = name
  if name ~= '' and not seen[name] then
    seen[name] = true
    documents[#documents + 1] = name
    documents[#documents + 1] = doc
  end
end
for _, line in ipairs(documents) do answer[#answer + 1] = line end
return table.concat(answer, '\\n')
"""
)
# ARGV: units as JSON, the space that they were read from, seconds to keep, '1' for a space that is not in use yet.
# Each unit is written whole or, where somebody wrote in between, not at all. Answer: the numbers of the latter.
_WRITE = (
    _RESOLVE
    + """
local units, failed = cjson.decode(ARGV[1]), {}
local in_use = ARGV[4] == '1' or (redis.call('GET', KEYS[1]) or '0') == ARGV[2]
local base = KEYS[1] .. ':' .. ARGV[2] .. ':'
for number, unit in ipairs(units) do
  local same = in_use
  for hash, name in pairs(unit.names) do
    if same and resolve(base, hash) ~= name then same = false end
  end
  for name, version in pairs(unit.versions) do
    if same and string.match(redis.call('GET', base .. 'person:' .. name) or '', '^%d+') ~= version then same = false end
  end
  if same then
    for name, doc in pairs(unit.documents) do redis.call('SET', base .. 'person:' .. name, doc, 'EX', ARGV[3]) end
    for hash, name in pairs(unit.pointers) do redis.call('SET', base .. 'of:' .. hash, name, 'EX', ARGV[3]) end
  else
    failed[#failed + 1] = number - 1
  end
end
return table.concat(failed, ' ')
"""
)


@dataclass(frozen=True, slots=True)
class Page:
    """What was read: persons by identity, and the version of each by name."""

    space: str
    persons: Mapping[str, Person | None]
    versions: Mapping[str, int]


@dataclass(slots=True)
class Unit:
    """Changes that belong together, and what was read before them."""

    names: dict[str, str] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    documents: dict[str, str] = field(default_factory=dict)
    pointers: dict[str, str] = field(default_factory=dict)


class IdentitySpace:
    """One space; by default the one in use, whichever that is."""

    def __init__(self, valkey: Valkey, space: str = "") -> None:
        self._valkey = valkey
        self._space = space

    async def read(self, identities: Iterable[str]) -> Page | None:
        """One round trip; None without Valkey."""
        asked = list(dict.fromkeys(identities))

        async def question(client: Redis) -> str:
            return str(await client.eval(_READ, 1, IN_USE, "\n".join(asked), self._space))

        answer = await self._valkey.ask("identity", question)
        if answer is None:
            return None
        lines = answer.split("\n")
        names = lines[1 : len(asked) + 1]
        documents = lines[len(asked) + 1 :]
        versions: dict[str, int] = {}
        persons: dict[str, Person] = {}
        for name, document in zip(documents[::2], documents[1::2], strict=True):
            version, _, text = document.partition("|")
            try:
                persons[name] = _person(name, text)
                versions[name] = int(version)
            except (ValueError, TypeError):  # Of another release, or damaged: who cannot be read is nobody known.
                logger.warning("a person in valkey cannot be read; `trolleybus rebuild identities` makes the map anew")
        found = {identity: _whose(identity, persons.get(name)) for identity, name in zip(asked, names, strict=True)}
        return Page(lines[0], found, versions)

    async def write(self, units: Sequence[Unit], space: str) -> Sequence[int] | None:
        """One round trip; the numbers of units that came too late, None without Valkey."""
        body = orjson.dumps(
            [
                {
                    "names": unit.names,
                    "versions": {name: str(version) for name, version in unit.versions.items()},
                    "documents": unit.documents,
                    "pointers": unit.pointers,
                }
                for unit in units
            ]
        )

        async def question(client: Redis) -> str:
            return str(await client.eval(_WRITE, 1, IN_USE, body, space, str(KEPT_S), "1" if self._space else ""))

        answer = await self._valkey.ask("identity", question)
        return None if answer is None else [int(number) for number in answer.split()]


def document(person: Person, version: int) -> str:
    """A person as they stand in Valkey."""
    carts = {cart_id: [cart.at, *cart.via] for cart_id, cart in person.carts.items()}
    return f"{version}|{orjson.dumps([person.own, person.lent, person.logins, carts]).decode()}"


def elsewhere(name: str) -> str:
    """What stands for a person who turned out to be another."""
    return f">{name}"


def _person(name: str, text: str) -> Person:
    own, lent, logins, carts = orjson.loads(text)
    return Person(name, own, lent, logins, {cart_id: OpenCart(at, tuple(via)) for cart_id, (at, *via) in carts.items()})


def _whose(identity: str, person: Person | None) -> Person | None:
    """A pointer counts where the person knows of it: one that was given up for newer ones leads nowhere."""
    return person if person is not None and (identity in person.own or identity in person.lent) else None
