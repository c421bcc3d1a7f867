-- Sessions that name neither their shopper nor their cart; beside bot_seen_at, and as it in no other figure.
ALTER TABLE facts.carts ADD COLUMN incomplete_seen_at bigint;
CREATE INDEX ON facts.carts (store_id, incomplete_seen_at) WHERE incomplete_seen_at IS NOT NULL;
