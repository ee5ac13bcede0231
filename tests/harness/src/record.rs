/// A record to produce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The partition; without one, murmur2 of the key decides as in the Java client, and records without key are spread.
    pub partition: Option<i32>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Milliseconds since 1970; without one, the time of producing.
    pub timestamp_ms: Option<i64>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Outgoing {
    /// A record with a value and nothing else.
    pub fn value(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// The same record with this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same record for this partition.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The same record with this timestamp, in milliseconds since 1970.
    #[must_use]
    pub fn at(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    /// The same record with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }
}

/// A record as it stands in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its partition.
    pub partition: i32,
    /// Its offset in the partition.
    pub offset: i64,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Milliseconds since 1970; -1 when the record has none.
    pub timestamp_ms: i64,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Received {
    /// The value as text; bytes that are not UTF-8 are replaced, a tombstone is empty.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }

    /// The key as text; bytes that are not UTF-8 are replaced, no key is empty.
    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(self.key.as_deref().unwrap_or_default()).into_owned()
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(n, _)| n == name).and_then(|(_, value)| value.as_deref())
    }
}
