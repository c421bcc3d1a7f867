-- Times are milliseconds since the epoch, UTC.

-- stores
CREATE TABLE stores (
    store_id   text PRIMARY KEY,
    version    integer NOT NULL,
    config     jsonb   NOT NULL, -- StoreConfig, as on the topic
    created_at bigint  NOT NULL,
    updated_at bigint  NOT NULL
);

CREATE TABLE campaigns (
    store_id    text    NOT NULL REFERENCES stores,
    campaign_id text    NOT NULL,
    name        text    NOT NULL,
    status      text    NOT NULL, -- draft, active, paused
    entry_level integer NOT NULL, -- seconds
    definition  jsonb   NOT NULL, -- re-entry, holdout, steps
    version     integer NOT NULL,
    created_at  bigint  NOT NULL,
    updated_at  bigint  NOT NULL,
    PRIMARY KEY (store_id, campaign_id)
);

-- audience
CREATE TABLE profiles (
    store_id      text   NOT NULL,
    customer_id   text   NOT NULL,
    traits        jsonb  NOT NULL, -- name: [at, by, value]
    identities    text[] NOT NULL,
    first_seen_at bigint NOT NULL,
    PRIMARY KEY (store_id, customer_id)
);
CREATE TABLE profile_identities (
    store_id    text NOT NULL,
    identity    text NOT NULL,
    customer_id text NOT NULL,
    PRIMARY KEY (store_id, identity, customer_id)
);
CREATE TABLE identity_links (
    store_id text NOT NULL,
    identity text NOT NULL,
    other    text NOT NULL,
    PRIMARY KEY (store_id, identity, other)
);
CREATE TABLE permissions (
    store_id      text   NOT NULL,
    channel       text   NOT NULL,
    address_hash  text   NOT NULL,
    person_no_at  bigint NOT NULL,
    person_yes_at bigint NOT NULL,
    other_no_at   bigint NOT NULL,
    other_yes_at  bigint NOT NULL,
    PRIMARY KEY (store_id, channel, address_hash)
);
CREATE TABLE orders_seen (
    store_id    text   NOT NULL,
    order_id    text   NOT NULL,
    cart_id     text   NOT NULL, -- "" where the source does not know it
    occurred_at bigint NOT NULL,
    PRIMARY KEY (store_id, order_id, cart_id)
);
CREATE INDEX orders_seen_by_cart ON orders_seen (store_id, cart_id, occurred_at);
CREATE TABLE order_identities (
    store_id    text   NOT NULL,
    identity    text   NOT NULL,
    order_id    text   NOT NULL,
    occurred_at bigint NOT NULL,
    PRIMARY KEY (store_id, identity, order_id)
);
CREATE TABLE holds (
    store_id  text    NOT NULL, -- by the record's header; "" where it has none
    topic     text    NOT NULL,
    partition integer NOT NULL,
    "offset"  bigint  NOT NULL,
    reason    text    NOT NULL,
    at        bigint  NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

-- journeys
CREATE TABLE journeys (
    store_id    text    NOT NULL,
    journey_id  text    NOT NULL,
    campaign_id text    NOT NULL,
    cart_id     text    NOT NULL,
    customer_id text    NOT NULL,
    identities  text[]  NOT NULL,
    status      text    NOT NULL,
    open        boolean NOT NULL,
    reason      text    NOT NULL,
    opened_at   bigint  NOT NULL, -- the cart
    entered_at  bigint  NOT NULL, -- 0: did not enter
    due_at      bigint,           -- null: nothing to do before a fact comes
    step        integer NOT NULL,
    steps_sent  integer NOT NULL,
    message_id  text    NOT NULL, -- "": none outstanding
    state       jsonb   NOT NULL, -- the whole journey
    traceparent text    NOT NULL,
    failures    integer NOT NULL DEFAULT 0,
    created_at  bigint  NOT NULL,
    updated_at  bigint  NOT NULL,
    PRIMARY KEY (store_id, journey_id),
    FOREIGN KEY (store_id, campaign_id) REFERENCES campaigns
);
CREATE INDEX journeys_due ON journeys (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX journeys_by_cart ON journeys (store_id, cart_id, entered_at);
CREATE INDEX journeys_by_person ON journeys USING gin (identities) WHERE open;
CREATE INDEX journeys_by_campaign ON journeys (store_id, campaign_id, created_at DESC, journey_id DESC);

CREATE TABLE decisions (
    store_id    text    NOT NULL,
    campaign_id text    NOT NULL,
    journey_id  text    NOT NULL,
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    at          bigint  NOT NULL,
    record      text    NOT NULL, -- JourneyEntered, StepDecided, ...
    step        integer,
    attempt     integer,
    decision    text    NOT NULL,
    rule        text    NOT NULL,
    PRIMARY KEY (store_id, journey_id, seq)
);
CREATE INDEX decisions_by_campaign ON decisions (store_id, campaign_id, seq DESC);

-- accounts
CREATE TABLE sign_in_codes (
    code_hash  text PRIMARY KEY,
    next_url   text   NOT NULL,
    expires_at bigint NOT NULL
);
