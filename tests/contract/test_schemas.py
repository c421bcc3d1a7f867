"""The schemas are the source of truth: typed records follow them, and they only ever grow."""

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from hashlib import sha256
from typing import Any, get_args, get_origin, get_type_hints

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from trolleybus import schemas
from trolleybus.asyncapi import document
from trolleybus.codec import to_dict
from trolleybus.contracts.records import RECORDS
from trolleybus.topics import Topics

ALL_VERSIONS = [(record, version) for record in RECORDS for version in schemas.versions(record)]


def walk(schema: Any) -> Iterator[Any]:
    yield schema
    if isinstance(schema, list):
        for branch in schema:
            yield from walk(branch)
    elif isinstance(schema, dict):
        for field in schema.get("fields", []):
            yield from walk(field["type"])
        for inner in ("items", "values", "type"):
            if isinstance(schema.get(inner), dict | list):
                yield from walk(schema[inner])


def kind_of(hint: Any) -> Any:
    """What a Python type says in Avro: names of nested records stand for themselves."""
    if is_dataclass(hint):
        return f"trolleybus.{hint.__name__}"  # type: ignore[union-attr]
    if get_origin(hint) is tuple:
        return {"array": kind_of(get_args(hint)[0])}
    if get_args(hint):
        return {"map": kind_of(get_args(hint)[1])}
    return {str: "string", int: "long", float: "double", bool: "boolean"}[hint]


def kind_in(schema: Any) -> Any:
    if isinstance(schema, str):
        return schema
    if schema["type"] == "array":
        return {"array": kind_in(schema["items"])}
    if schema["type"] == "map":
        return {"map": kind_in(schema["values"])}
    if schema["type"] == "record":
        return f"{schema['namespace']}.{schema['name']}"
    return schema["type"]


@pytest.mark.parametrize("record", sorted(RECORDS))
def test_a_typed_record_has_the_fields_types_and_defaults_of_its_newest_schema(record: str) -> None:
    pairs = [(RECORDS[record], json.loads(schemas.source(record)))]
    nested = {
        part["name"]: part for part in walk(pairs[0][1]) if isinstance(part, dict) and part.get("type") == "record"
    }
    for kind, schema in pairs:
        hints = get_type_hints(kind)
        assert [field.name for field in fields(kind)] == [field["name"] for field in schema["fields"]]
        assert [kind_of(hints[field.name]) for field in fields(kind)] == [
            kind_in(field["type"]) for field in schema["fields"]
        ]
        assert json.loads(json.dumps(to_dict(kind()))) == {
            field["name"]: field["default"] for field in schema["fields"]
        }
        for hint in hints.values():
            inner = get_args(hint)[0] if get_origin(hint) is tuple else hint
            if is_dataclass(inner):
                pairs.append((inner, nested[inner.__name__]))  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(("record", "version"), ALL_VERSIONS)
def test_every_field_has_a_default_and_no_set_is_closed(record: str, version: int) -> None:
    schema = json.loads(schemas.source(record, version))
    assert (schema["namespace"], schema["name"]) == ("trolleybus", record)
    for part in walk(schema):
        if not isinstance(part, dict):
            assert not isinstance(part, list), "no unions of records"
            continue
        assert part.get("type") != "enum"
        for field in part.get("fields", []):
            assert "default" in field, field["name"]


def test_every_default_of_a_typed_record_is_given() -> None:
    for kind in RECORDS.values():
        for field in fields(kind):
            assert field.default is not MISSING or field.default_factory is not MISSING


@pytest.mark.parametrize("record", sorted(RECORDS))
def test_all_versions_of_a_record_read_each_other(record: str) -> None:
    texts = [schemas.source(record, version) for version in schemas.versions(record)]
    assert texts
    for reader in texts:
        for writer in texts:
            assert incompatibilities(reader, writer) == []


def incompatibilities(reader: str, writer: str) -> list[str]:
    """What keeps one schema from reading another, logical types included (the checker is blind to those)."""
    answer = ReaderWriterCompatibilityChecker().get_compatibility(avro.schema.parse(reader), avro.schema.parse(writer))  # type: ignore[no-untyped-call]
    problems = [] if answer.compatibility is SchemaCompatibilityType.compatible else [str(answer.messages)]
    ours, theirs = logical_types(json.loads(reader)), logical_types(json.loads(writer))
    return problems + [
        f"{name} changed its logical type" for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]
    ]


def logical_types(schema: dict[str, Any]) -> dict[str, str]:
    return {
        f"{part['name']}.{field['name']}": field["type"].get("logicalType", "")
        if isinstance(field["type"], dict)
        else ""
        for part in walk(schema)
        if isinstance(part, dict) and part.get("type") == "record"
        for field in part["fields"]
    }


def test_the_check_of_compatibility_finds_what_breaks_readers() -> None:
    old = json.loads(schemas.source("CartAbandoned"))
    no_default = json.loads(schemas.source("CartAbandoned"))
    no_default["fields"].append({"name": "new", "type": "string"})
    other_type = json.loads(schemas.source("CartAbandoned"))
    next(field for field in other_type["fields"] if field["name"] == "level")["type"] = "string"
    other_unit = json.loads(schemas.source("CartAbandoned"))
    next(field for field in other_unit["fields"] if field["name"] == "due_at")["type"]["logicalType"] = (
        "timestamp-micros"
    )
    for broken in (no_default, other_type, other_unit):
        assert incompatibilities(json.dumps(broken), json.dumps(old))


def test_a_published_version_is_never_edited() -> None:
    published = dict(
        line.split("  ")[::-1] for line in (schemas.directory() / "versions.sha256").read_text().splitlines()
    )
    present = {
        f"{record}/v{version}.avsc": sha256(schemas.source(record, version).encode()).hexdigest()
        for record, version in ALL_VERSIONS
    }
    assert present == published, "add a new version instead, and its line to schemas/versions.sha256"


def test_every_record_stands_on_one_topic_and_its_key_is_made_of_its_fields() -> None:
    topics = Topics.load()
    on_topics = [record for topic in topics for record in topic.records]
    assert sorted(record.__name__ for record in on_topics) == sorted(RECORDS)
    for topic in topics:
        for record in topic.records:
            assert set(topic.key) <= {field.name for field in fields(record)}
            assert topic.key[0] == "store_id"


def test_the_asyncapi_document_says_what_the_topics_are_now() -> None:
    assert (schemas.directory() / "asyncapi.yaml").read_text() == document(Topics.load()), (
        "run `trolleybus topics asyncapi > schemas/asyncapi.yaml`"
    )


def test_every_topic_name_is_listed_once_with_its_version() -> None:
    names = [topic.full_name for topic in Topics.load()]
    assert len(names) == len(set(names)) == 13
    assert all(name.endswith(".v1") for name in names)
    assert {topic.name for topic in Topics.load() if topic.barrier} == {"orders", "consent", "customer.updates"}
