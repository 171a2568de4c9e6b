//! Numbers as a person reads them: durations, counts and sizes in words. Knows nothing of what they measure.

/// A duration in seconds as its two largest units: `9 s`, `1 min 20 s`, `2 h 5 min`, `3 d 4 h`.
///
/// A negative or non-finite duration is `unknown`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".into();
    }
    let total = seconds.round() as u64;
    let (large, small) = match total {
        0..60 => return format!("{total} s"),
        60..3_600 => ((total / 60, "min"), (total % 60, "s")),
        3_600..86_400 => ((total / 3_600, "h"), (total % 3_600 / 60, "min")),
        _ => ((total / 86_400, "d"), (total % 86_400 / 3_600, "h")),
    };
    match small.0 {
        0 => format!("{} {}", large.0, large.1),
        _ => format!("{} {} {} {}", large.0, large.1, small.0, small.1),
    }
}

/// A count with a comma between groups of three digits: `1,234,567`.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count cut to what a person remembers of it: `950`, `12.3 thousand`, `3.1 million`, `1.2 billion`.
pub fn short_count(count: u64) -> String {
    scaled(count as f64, 1_000.0, &["", " thousand", " million", " billion", " trillion"])
}

/// A size in bytes, in powers of 1,000: `210 MB`, `1.2 GB`.
pub fn bytes(n_bytes: u64) -> String {
    scaled(n_bytes as f64, 1_000.0, &[" bytes", " kB", " MB", " GB", " TB"])
}

/// `value` in the largest of `units` (each `base` times the one before) in which it is at least 1.
fn scaled(value: f64, base: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut unit_idx = 0;
    // 999.5 would be printed as 1000, so it moves up a unit.
    while value >= base - 0.5 && unit_idx + 1 < units.len() {
        value /= base;
        unit_idx += 1;
    }
    let n_decimals = usize::from(unit_idx > 0 && value < 99.95);
    let text = format!("{value:.n_decimals$}");
    format!("{}{}", text.strip_suffix(".0").unwrap_or(&text), units[unit_idx])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_in_their_two_largest_units() {
        let cases = [
            (0.2, "0 s"),
            (59.4, "59 s"),
            (59.6, "1 min"),
            (80.0, "1 min 20 s"),
            (3_600.0, "1 h"),
            (7_500.0, "2 h 5 min"),
            (273_600.0, "3 d 4 h"),
            (-1.0, "unknown"),
            (f64::NAN, "unknown"),
            (f64::INFINITY, "unknown"),
        ];
        for (seconds, words) in cases {
            assert_eq!(duration(seconds), words, "{seconds} s");
        }
    }

    #[test]
    fn counts_have_a_comma_between_groups_of_three() {
        for (count, words) in [(0, "0"), (999, "999"), (1_000, "1,000"), (31_000, "31,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(count), words);
        }
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn sizes_and_short_counts_keep_about_three_digits() {
        let cases = [(0, "0 bytes"), (999, "999 bytes"), (1_000, "1 kB"), (12_345, "12.3 kB"), (210_000_000, "210 MB")];
        for (n_bytes, words) in cases {
            assert_eq!(bytes(n_bytes), words);
        }
        assert_eq!(bytes(999_999), "1 MB");
        assert_eq!(bytes(1_230_000_000), "1.2 GB");
        assert_eq!(short_count(950), "950");
        assert_eq!(short_count(3_100_000), "3.1 million");
    }
}
