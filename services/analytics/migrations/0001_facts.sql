-- The facts, as domain/facts.py declares them. A rebuild makes the same tables in another schema with LIKE … INCLUDING ALL:
-- indexes carry their default names, which stay the same there. Texts are compared by bytes, as Python compares them.
-- Times are milliseconds since the epoch, UTC. appended_at: when Kafka took the first record that told of the row.
CREATE SCHEMA facts;

-- Holds nothing. Whoever reads or writes the facts locks it first (share), as does a rebuild that swaps them (alone).
CREATE TABLE facts_gate ();

CREATE TABLE facts.carts (
    store_id         text    COLLATE "C" NOT NULL,
    cart_id          text    COLLATE "C" NOT NULL,
    first_seen_at    bigint,
    first_item_at    bigint,
    last_item_at     bigint,
    last_activity_at bigint,
    emptied_at       bigint,
    ordered_at       bigint,
    expired_at       bigint,
    abandoned_at     bigint, -- due time of the first level that ever fired
    recovered_at     bigint,
    levels           integer[] NOT NULL, -- seconds of every level that fired
    contact_known    boolean NOT NULL,
    imported         boolean NOT NULL,
    bot_seen_at      bigint,
    appended_at      bigint,
    PRIMARY KEY (store_id, cart_id)
);
CREATE INDEX ON facts.carts (store_id, first_item_at, cart_id);
CREATE INDEX ON facts.carts (store_id, first_seen_at);
CREATE INDEX ON facts.carts (store_id, bot_seen_at) WHERE bot_seen_at IS NOT NULL;
CREATE INDEX ON facts.carts (store_id, abandoned_at) WHERE abandoned_at IS NOT NULL;

CREATE TABLE facts.abandonments (
    store_id      text    COLLATE "C" NOT NULL,
    episode_id    text    COLLATE "C" NOT NULL,
    level_seconds integer NOT NULL,
    cart_id       text    COLLATE "C",
    due_at        bigint,
    opened_at     bigint,
    value_minor   bigint,
    currency      text    COLLATE "C",
    contact_known boolean NOT NULL,
    appended_at   bigint,
    PRIMARY KEY (store_id, episode_id, level_seconds)
);
CREATE INDEX ON facts.abandonments (store_id, due_at);
CREATE INDEX ON facts.abandonments (store_id, cart_id);

CREATE TABLE facts.recoveries (
    store_id     text   COLLATE "C" NOT NULL,
    id           text   COLLATE "C" NOT NULL,
    cart_id      text   COLLATE "C",
    episode_id   text   COLLATE "C",
    order_id     text   COLLATE "C",
    abandoned_at bigint,
    recovered_at bigint,
    total_minor  bigint,
    currency     text   COLLATE "C",
    appended_at  bigint,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX ON facts.recoveries (store_id, recovered_at);
CREATE INDEX ON facts.recoveries (store_id, cart_id);

-- Carts resumed, cleared, expired.
CREATE TABLE facts.turns (
    store_id    text   COLLATE "C" NOT NULL,
    id          text   COLLATE "C" NOT NULL,
    cart_id     text   COLLATE "C",
    episode_id  text   COLLATE "C",
    kind        text   COLLATE "C",
    at          bigint,
    appended_at bigint,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX ON facts.turns (store_id, cart_id);

CREATE TABLE facts.journeys (
    store_id    text    COLLATE "C" NOT NULL,
    journey_id  text    COLLATE "C" NOT NULL,
    campaign_id text    COLLATE "C",
    cart_id     text    COLLATE "C",
    episode_id  text    COLLATE "C",
    entered_at  bigint,
    treated     boolean NOT NULL,
    held_out    boolean NOT NULL,
    exited_at   bigint,
    exit_reason text    COLLATE "C",
    currency    text    COLLATE "C",
    identities  text[]  COLLATE "C" NOT NULL,
    appended_at bigint,
    PRIMARY KEY (store_id, journey_id)
);
CREATE INDEX ON facts.journeys (store_id, entered_at);
CREATE INDEX ON facts.journeys (store_id, cart_id);

-- Carts that did not enter a campaign, and by which rule.
CREATE TABLE facts.skips (
    store_id    text   COLLATE "C" NOT NULL,
    id          text   COLLATE "C" NOT NULL,
    cart_id     text   COLLATE "C",
    campaign_id text   COLLATE "C",
    rule        text   COLLATE "C",
    at          bigint,
    appended_at bigint,
    PRIMARY KEY (store_id, id)
);
CREATE INDEX ON facts.skips (store_id, at);

CREATE TABLE facts.messages (
    store_id        text   COLLATE "C" NOT NULL,
    message_id      text   COLLATE "C" NOT NULL,
    journey_id      text   COLLATE "C",
    campaign_id     text   COLLATE "C",
    cart_id         text   COLLATE "C",
    channel         text   COLLATE "C",
    step            integer,
    attempt         integer,
    first_at        bigint,
    requested_at    bigint,
    sent_at         bigint,
    delivered_at    bigint,
    opened_at       bigint,
    clicked_at      bigint,
    machine_at      bigint, -- an open or a click that was likely no person's
    bounced_at      bigint,
    complained_at   bigint,
    unsubscribed_at bigint,
    deferred_at     bigint,
    deferred_rule   text   COLLATE "C",
    refused_at      bigint,
    refused_rule    text   COLLATE "C",
    in_doubt_at     bigint,
    appended_at     bigint,
    PRIMARY KEY (store_id, message_id)
);
CREATE INDEX ON facts.messages (store_id, first_at);
CREATE INDEX ON facts.messages (store_id, cart_id, sent_at);

CREATE TABLE facts.orders (
    store_id     text   COLLATE "C" NOT NULL,
    order_id     text   COLLATE "C" NOT NULL,
    cart_id      text   COLLATE "C",
    placed_at    bigint,
    cancelled_at bigint,
    identities   text[] COLLATE "C" NOT NULL,
    told         text   COLLATE "C", -- time and id of the record that told the total: the latest counts
    total_minor  bigint,
    currency     text   COLLATE "C",
    appended_at  bigint,
    PRIMARY KEY (store_id, order_id)
);
CREATE INDEX ON facts.orders (store_id, placed_at);

-- The latest of each kind of word, as trolleybus.contracts.permission folds them.
CREATE TABLE facts.consents (
    store_id      text   COLLATE "C" NOT NULL,
    channel       text   COLLATE "C" NOT NULL,
    address_hash  text   COLLATE "C" NOT NULL,
    person_no_at  bigint,
    person_yes_at bigint,
    other_no_at   bigint,
    other_yes_at  bigint,
    appended_at   bigint,
    PRIMARY KEY (store_id, channel, address_hash)
);

-- Records of topics that never skip, which could not be read: the figures lack them. For an operator to look into.
CREATE TABLE unreadable (
    topic       text    NOT NULL, -- logical name
    partition   integer NOT NULL,
    kafka_offset bigint NOT NULL,
    store_id    text    NOT NULL,
    reason      text    NOT NULL,
    noticed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, kafka_offset)
);
