//! Times as people and Kafka's tools write them.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, civil};
use millpond::time::Timestamp;

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// `2026-11-23T06:07:42.123Z`, or `none`.
pub(crate) fn shown(time: Timestamp) -> String {
    let time = Some(time).filter(|time| time.is_some());
    let time = time.and_then(|time| jiff::Timestamp::from_millisecond(time.as_millis()).ok());
    time.map_or_else(|| "none".to_owned(), |time| time.to_string())
}

/// Kafka's `YYYY-MM-DDTHH:mm:SS.sss`, with an offset or `Z` after it or, as in Kafka, for UTC without.
pub(crate) fn parse_datetime(text: &str) -> Result<Timestamp, String> {
    let with_zone = text.parse::<jiff::Timestamp>();
    let in_utc = || TimeZone::UTC.to_timestamp(text.parse::<civil::DateTime>()?);
    let time = with_zone.or_else(|_| in_utc()).map_err(|error| error.to_string())?;
    Ok(Timestamp::from_millis(time.as_millisecond()))
}

/// ISO 8601, as in Kafka's `PnDTnHnMnS`.
pub(crate) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let span: Span = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    // Days of 24 hours, as Java's Duration has them.
    let duration: SignedDuration =
        span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
    std::time::Duration::try_from(duration).map_err(|_| "it must not be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_read_as_kafkas_tools_read_them() {
        let expected = Timestamp::from_millis(1_700_000_000_123);
        for text in ["2023-11-14T22:13:20.123", "2023-11-14T22:13:20.123Z", "2023-11-15T00:13:20.123+02:00"] {
            assert_eq!(parse_datetime(text), Ok(expected), "{text}");
        }
        assert_eq!(shown(expected), "2023-11-14T22:13:20.123Z");
        assert_eq!(shown(Timestamp::NONE), "none");
        assert!(parse_datetime("yesterday").is_err() && parse_datetime("2023-13-01T00:00:00").is_err());
    }

    #[test]
    fn durations_are_read_as_kafkas_tools_read_them() {
        assert_eq!(parse_duration("P1DT2H3M4S"), Ok(Duration::from_secs(86_400 + 7_200 + 180 + 4)));
        assert_eq!(parse_duration("PT0.5S"), Ok(Duration::from_millis(500)));
        for wrong in ["10 parsecs", "-PT1S", "P1M"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
