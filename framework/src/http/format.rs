//! Numbers, sizes and times as a person reads them at a glance.

use std::time::Duration;

/// A number in groups of three, with narrow spaces that do not break: `12 345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number in three digits: `950`, `1.2 k`, `12.3 M`.
pub(super) fn short(number: f64) -> String {
    let steps = [(1e9, " G"), (1e6, " M"), (1e3, " k")];
    match steps.into_iter().find(|(step, _)| number >= *step * 0.9995) {
        Some((step, unit)) => format!("{}{unit}", digits(number / step)),
        None if number >= 9.95 || number.fract().abs() < 0.05 => format!("{number:.0}"),
        None => format!("{number:.1}"),
    }
}

fn digits(number: f64) -> String {
    if number >= 99.95 { format!("{number:.0}") } else { format!("{number:.1}") }
}

/// A rate: `1.2 k/s`.
pub(super) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 0.1 { "< 0.1/s".to_owned() } else { format!("{}/s", short(per_second)) }
}

/// A size: `17 KiB`, `1.5 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let size = bytes as f64;
    let steps = [(1_099_511_627_776.0, "TiB"), (1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1_024.0, "KiB")];
    match steps.into_iter().find(|(step, _)| size >= *step) {
        Some((step, unit)) => format!("{} {unit}", digits(size / step)),
        None => format!("{bytes} B"),
    }
}

/// A length of time: `0 s`, `85 ms`, `1.5 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds, duration.as_millis()) {
        (_, 0) => "0 s".to_owned(),
        (0, millis) => format!("{millis} ms"),
        (0..10, _) => format!("{:.1} s", duration.as_secs_f64()),
        (0..60, _) => format!("{seconds} s"),
        (0..3_600, _) => two(seconds / 60, "min", seconds % 60, "s"),
        (0..86_400, _) => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 { format!("{large} {large_unit}") } else { format!("{large} {large_unit} {small} {small_unit}") }
}

/// A moment: `2026-11-29T17:33:36Z`; what no calendar has as milliseconds.
pub(super) fn moment(at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms);
    at.map_or_else(|_| at_ms.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The time of day of a moment: `17:33:36`, in UTC.
pub(super) fn time_of_day(at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms);
    at.map_or_else(|_| at_ms.to_string(), |at| at.strftime("%H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_three_digits() {
        for (number, text) in [
            (0.0, "0"),
            (0.26, "0.3"),
            (7.0, "7"),
            (12.7, "13"),
            (999.0, "999"),
            (999.9, "1.0 k"),
            (1_234.0, "1.2 k"),
            (123_456.0, "123 k"),
            (12_300_000.0, "12.3 M"),
            (4e9, "4.0 G"),
        ] {
            assert_eq!(short(number), text);
        }
        assert_eq!((rate(0.0), rate(0.03), rate(1_500.0)), ("0/s".into(), "< 0.1/s".into(), "1.5 k/s".into()));
        assert_eq!(
            (grouped(1), grouped(1_234), grouped(1_234_567)),
            ("1".into(), "1\u{202f}234".into(), "1\u{202f}234\u{202f}567".into())
        );
    }

    #[test]
    fn sizes_and_times_have_the_unit_that_fits() {
        for (size, text) in
            [(0, "0 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (1 << 40, "1.0 TiB")]
        {
            assert_eq!(bytes(size), text);
        }
        for (millis, text) in [
            (0, "0 s"),
            (85, "85 ms"),
            (1_500, "1.5 s"),
            (59_999, "59 s"),
            (200_000, "3 min 20 s"),
            (180_000, "3 min"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn moments_are_in_utc_and_impossible_ones_are_numbers() {
        assert_eq!(moment(1_000_000_000_000), "2001-09-09T01:46:40Z");
        assert_eq!(time_of_day(1_000_000_000_000), "01:46:40");
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
    }
}
