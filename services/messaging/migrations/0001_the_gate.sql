-- Milliseconds since the epoch by the database's clock: leases and due times of all processes are measured by it.
CREATE FUNCTION now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

-- Who is one person: every identity that was linked, under the smallest identity of its group.
CREATE TABLE people (
    store_id text NOT NULL,
    identity text NOT NULL,
    person   text NOT NULL,
    PRIMARY KEY (store_id, identity)
);
CREATE INDEX people_by_person ON people (store_id, person);

-- Orders, folded by store and order. Of several times told, the latest: it stops more messages. 0: not told.
CREATE TABLE orders (
    store_id  text   NOT NULL,
    order_id  text   NOT NULL,
    placed_at bigint NOT NULL DEFAULT 0,
    paid_at   bigint NOT NULL DEFAULT 0, -- stands for placed_at where only the payment was told
    PRIMARY KEY (store_id, order_id)
);
CREATE TABLE order_buyers (
    store_id text NOT NULL,
    identity text NOT NULL,
    order_id text NOT NULL,
    PRIMARY KEY (store_id, identity, order_id)
);
CREATE TABLE order_carts (
    store_id text NOT NULL,
    cart_id  text NOT NULL,
    order_id text NOT NULL,
    PRIMARY KEY (store_id, cart_id, order_id)
);

-- The latest effective time of each kind of word on an address (ms, 0: none).
CREATE TABLE permissions (
    store_id      text   NOT NULL,
    channel       text   NOT NULL,
    address_hash  text   NOT NULL,
    person_no_at  bigint NOT NULL DEFAULT 0,
    person_yes_at bigint NOT NULL DEFAULT 0,
    other_no_at   bigint NOT NULL DEFAULT 0,
    other_yes_at  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (store_id, channel, address_hash)
);

-- Addresses that get nothing any more.
CREATE TABLE suppressions (
    store_id     text   NOT NULL,
    channel      text   NOT NULL,
    address_hash text   NOT NULL,
    reason       text   NOT NULL, -- bounced, complained
    message_id   text   NOT NULL,
    since        bigint NOT NULL,
    PRIMARY KEY (store_id, channel, address_hash, reason)
);

-- Records behind the barrier that could not be read: their store ('*': every store) is not written to until a person releases it.
CREATE TABLE holds (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    store_id      text    NOT NULL,
    topic         text    NOT NULL, -- name in Kafka
    partition     integer NOT NULL,
    record_offset bigint  NOT NULL,
    reason        text    NOT NULL,
    held_at       bigint  NOT NULL,
    released_at   bigint,
    released_by   text,
    release_reason text,
    UNIQUE (topic, partition, record_offset)
);
CREATE INDEX holds_in_force ON holds (store_id) WHERE released_at IS NULL;

CREATE TABLE messages (
    message_id     text    PRIMARY KEY,
    store_id       text    NOT NULL,
    journey_id     text    NOT NULL,
    campaign_id    text    NOT NULL,
    cart_id        text    NOT NULL,
    episode_id     text    NOT NULL,
    customer_id    text    NOT NULL,
    channel        text    NOT NULL,
    step           integer NOT NULL,
    attempt        integer NOT NULL,
    purpose        text    NOT NULL,
    address_hash   text    NOT NULL,
    address_hashes text[]  NOT NULL, -- under every version of the installation's secret
    identities     text[]  NOT NULL, -- the address' hashes among them
    purchase_since bigint  NOT NULL,
    time_zone      text    NOT NULL,
    deferred_from  bigint  NOT NULL,
    not_before     bigint  NOT NULL,
    expires_at     bigint  NOT NULL,
    requested_at   bigint  NOT NULL,
    subject        text    NOT NULL,

    state          text    NOT NULL DEFAULT 'queued',
    due_at         bigint  NOT NULL, -- when a queued message is looked at next
    waiting_for    text    NOT NULL DEFAULT '',
    claim          integer NOT NULL DEFAULT 0, -- number of the claim: who holds an older one has lost it
    lease_until    bigint  NOT NULL DEFAULT 0,
    tries          integer NOT NULL DEFAULT 0, -- calls that the provider surely did not accept
    barrier        jsonb   NOT NULL DEFAULT '[]',
    barrier_read_at bigint NOT NULL DEFAULT 0,
    claimed_at     bigint  NOT NULL DEFAULT 0,
    called_at      bigint  NOT NULL DEFAULT 0,
    provider       text    NOT NULL DEFAULT '',
    provider_message_id text NOT NULL DEFAULT '',
    rule           text    NOT NULL DEFAULT '',
    detail         text    NOT NULL DEFAULT '',
    deferred_until bigint  NOT NULL DEFAULT 0,
    settled_at     bigint  NOT NULL DEFAULT 0,
    settled_by     text    NOT NULL DEFAULT '' -- of a message in doubt: who, or look-up
);
CREATE INDEX messages_due ON messages (due_at) WHERE state IN ('queued', 'retry');
CREATE INDEX messages_leased ON messages (lease_until) WHERE state IN ('claimed', 'calling');
CREATE INDEX messages_in_doubt ON messages (called_at) WHERE state = 'in_doubt';
CREATE INDEX messages_of_a_person ON messages USING gin (identities);
CREATE INDEX messages_listed ON messages (requested_at DESC, message_id DESC);
CREATE INDEX messages_of_a_step ON messages (journey_id, step, channel);

-- What is to be sent, in clear: gone once the message is settled.
CREATE TABLE contents (
    message_id     text PRIMARY KEY REFERENCES messages ON DELETE CASCADE,
    address        text NOT NULL,
    sender_address text NOT NULL,
    sender_name    text NOT NULL,
    reply_to       text NOT NULL,
    subject        text NOT NULL,
    html           text NOT NULL,
    body           text NOT NULL
);

-- Requests taken back, whether or not the request was read yet.
CREATE TABLE withdrawals (
    message_id   text   PRIMARY KEY,
    store_id     text   NOT NULL,
    reason       text   NOT NULL,
    withdrawn_at bigint NOT NULL
);

-- Who was settled by whom, and why.
CREATE TABLE audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      bigint NOT NULL,
    actor   text   NOT NULL,
    action  text   NOT NULL,
    subject text   NOT NULL,
    note    text   NOT NULL
);
