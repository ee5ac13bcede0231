-- The channel each order is attributed to. A corrected attribution replaces the row of its order.
CREATE TABLE purchase_marketing_attributions (
    user_id           text        NOT NULL,
    order_id          text        NOT NULL,
    marketing_channel text        NOT NULL,
    event_time        timestamptz NOT NULL,
    source_topic      text        NOT NULL,
    source_partition  integer     NOT NULL,
    source_offset     bigint      NOT NULL,
    CONSTRAINT purchase_marketing_attributions_order PRIMARY KEY (order_id),
    CONSTRAINT purchase_marketing_attributions_source UNIQUE (source_topic, source_partition, source_offset)
);
