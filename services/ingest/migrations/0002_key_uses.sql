-- When each API key of a store was last used, to the minute; ms since the epoch, UTC. The keys themselves are campaigns'.
CREATE TABLE key_uses (
    store_id text   NOT NULL,
    key_id   text   NOT NULL,
    used_at  bigint NOT NULL,
    PRIMARY KEY (store_id, key_id)
);
