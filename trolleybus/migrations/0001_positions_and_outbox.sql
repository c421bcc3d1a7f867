-- How far each consumer has come: committed with the effects of the records before it.
CREATE TABLE kafka_positions (
    consumer    text        NOT NULL,
    topic       text        NOT NULL, -- name in Kafka
    partition   integer     NOT NULL,
    next_offset bigint      NOT NULL, -- of the first record not handled yet
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, topic, partition)
);

-- Records to be sent once their transaction is committed. Within a key the order of seq is the order of commits.
CREATE TABLE outbox (
    seq           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slot          smallint    NOT NULL,
    topic         text        NOT NULL, -- name in Kafka
    key           bytea       NOT NULL,
    value         bytea,
    header_names  text[]      NOT NULL,
    header_values bytea[]     NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    refused       text        -- why Kafka will never take it; such a row waits for a person
);
