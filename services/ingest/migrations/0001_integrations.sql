-- Times are milliseconds since the epoch, UTC; 0 for never.

CREATE TABLE integrations (
    store_id             text    NOT NULL,
    integration_id       text    NOT NULL UNIQUE,
    kind                 text    NOT NULL, -- shopify, segment, …
    settings             jsonb   NOT NULL,
    version              integer NOT NULL, -- counts changes of settings, secrets and state: processes load what differs
    connected_at         bigint  NOT NULL,
    disconnected_at      bigint  NOT NULL DEFAULT 0,
    disconnected_because text    NOT NULL DEFAULT '',
    last_event_at        bigint  NOT NULL DEFAULT 0,
    last_error           text    NOT NULL DEFAULT '',
    last_error_at        bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (store_id, integration_id)
);
-- One of a kind a store; those that were disconnected stay as what was.
CREATE UNIQUE INDEX integrations_connected ON integrations (store_id, kind) WHERE disconnected_at = 0;
CREATE INDEX integrations_newest ON integrations (connected_at, integration_id);

-- Envelope encryption: box is the secret under a data key of its own, wrapped_key that key under INTEGRATION_KEYS' key key_id.
CREATE TABLE integration_secrets (
    store_id       text    NOT NULL,
    integration_id text    NOT NULL,
    secret_id      text    NOT NULL,
    name           text    NOT NULL, -- webhook_secret, …
    last4          text    NOT NULL, -- its last four characters, to tell secrets apart
    key_id         integer NOT NULL,
    wrapped_key    bytea   NOT NULL,
    box            bytea   NOT NULL,
    valid_from     bigint  NOT NULL,
    valid_until    bigint  NOT NULL DEFAULT 0, -- 0: until another takes its place
    PRIMARY KEY (store_id, integration_id, secret_id),
    FOREIGN KEY (store_id, integration_id) REFERENCES integrations
);
CREATE INDEX integration_secrets_by_key ON integration_secrets (key_id);
