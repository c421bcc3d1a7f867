-- The local inbox: a provider that happens to live in the same database. It takes whatever it is given, twice if it is given twice.
CREATE TABLE inbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id   text   NOT NULL,
    store_id     text   NOT NULL,
    address_hash text   NOT NULL,
    sender       text   NOT NULL,
    recipient    text   NOT NULL,
    subject      text   NOT NULL,
    raw          bytea  NOT NULL,
    received_at  bigint NOT NULL
);
CREATE INDEX inbox_by_message ON inbox (message_id);
