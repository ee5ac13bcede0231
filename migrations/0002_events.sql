-- Redacted shop events, append only. The source position is unique: one record, one row.
CREATE TABLE events (
    user_id          text        NOT NULL,
    event_name       text        NOT NULL,
    page             text,
    item_url         text,
    channel          text,
    order_id         text,
    order_email      text,
    event_time       timestamptz NOT NULL,
    source_topic     text        NOT NULL,
    source_partition integer     NOT NULL,
    source_offset    bigint      NOT NULL,
    CONSTRAINT events_source UNIQUE (source_topic, source_partition, source_offset)
);
