-- Where each application stands in each partition, and who may write for it. A batch of rows and the offset behind it
-- change in one transaction, so that rows are there exactly once. `epoch` grows with each claim and fences the claimant
-- before; `owner` names the process that holds the claim.
CREATE TABLE sink_offset (
    app         text        NOT NULL,
    topic       text        NOT NULL,
    part        integer     NOT NULL,
    next_offset bigint      NOT NULL CHECK (next_offset >= 0),
    epoch       bigint      NOT NULL CHECK (epoch > 0),
    owner       text        NOT NULL,
    -- Kafka's id of the topic: a topic that was deleted and made again must not be read from an old offset.
    topic_id    bytea       NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app, topic, part)
);
