//! The ledger's integers as people read them: points, dates, durations. No floating point.

use trustnet_ledger::calendar::DAY_MS;

/// `value` units of 1/`scale` with `places` decimals, rounded half away from zero: the ledger's
/// milli-points and centi-points as points.
pub fn decimal(value: i64, scale: u64, places: u32) -> String {
    let unit = u128::from(10_u64.pow(places));
    let scale = u128::from(scale.max(1));
    let rounded = (u128::from(value.unsigned_abs()) * unit * 2 + scale) / (scale * 2);
    let sign = if value < 0 && rounded > 0 { "-" } else { "" };
    if places == 0 {
        return format!("{sign}{rounded}");
    }
    let width = places as usize;
    format!("{sign}{}.{:0width$}", rounded / unit, rounded % unit)
}

/// As [`decimal`], with the sign of positive numbers shown.
pub fn signed(value: i64, scale: u64, places: u32) -> String {
    let text = decimal(value, scale, places);
    if text.starts_with('-') { text } else { format!("+{text}") }
}

/// Milli-points (reputation) with one decimal: `86.3`.
pub fn points(milli: i64) -> String {
    decimal(milli, 1_000, 1)
}

/// Centi-points (trust scores) with two decimals: `83.25`.
pub fn score(centi: i64) -> String {
    decimal(centi, 100, 2)
}

/// A whole number with separators for thousands: `3,120`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Year, month and day of a UTC day (Gregorian calendar), and back in [`day_of_date`].
fn date_of_day(day: u32) -> (u32, u32, u32) {
    // Months before `day`, by bisection over the inverse below: slow and plainly right.
    let (mut low, mut high) = (1970_u32, 1970 + day / 365 + 1);
    while low + 1 < high {
        let middle = u32::midpoint(low, high);
        if day_number(middle, 1, 1) <= day { low = middle } else { high = middle }
    }
    let month = (1..=12).rev().find(|month| day_number(low, *month, 1) <= day).unwrap_or(1);
    (low, month, day - day_number(low, month, 1) + 1)
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_days(year: u32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date; the year is 1970 or later.
fn day_number(year: u32, month: u32, day: u32) -> u32 {
    let leaps_before = |year: u32| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
    let years = (year - 1970) * 365 + leaps_before(year) - leaps_before(1970);
    years + (1..month).map(|m| month_days(year, m)).sum::<u32>() + day - 1
}

/// A UTC day as `YYYY-MM-DD`.
pub fn date(day: u32) -> String {
    let (year, month, day) = date_of_day(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The UTC day of `YYYY-MM-DD` (1970 to 9999).
///
/// # Errors
/// A sentence that says what was expected.
pub fn day_of_date(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is not a date; expected YYYY-MM-DD, such as 2026-03-31");
    let parts: Vec<&str> = text.split('-').collect();
    let &[year, month, day] = parts.as_slice() else { return Err(wrong()) };
    let digits = |part: &str, len: usize| {
        let good = part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u32>().ok().filter(|_| good).ok_or_else(wrong)
    };
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=month_days(year, month)).contains(&day) {
        return Err(wrong());
    }
    Ok(day_number(year, month, day))
}

/// A Unix time in milliseconds as `YYYY-MM-DD HH:MM:SS UTC`.
pub fn time(ms: u64) -> String {
    // Nothing on a ledger is dated after the year 9999; a larger number is shown as it is.
    let Some(day) = u32::try_from(ms / DAY_MS).ok().filter(|day| *day < 2_932_897) else {
        return format!("{ms} ms");
    };
    let seconds = ms % DAY_MS / 1_000;
    format!("{} {:02}:{:02}:{:02} UTC", date(day), seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// How long ago a day was, seen from another: `today`, `12 d ago`.
pub fn days_ago(day: u32, today: u32) -> String {
    match today.saturating_sub(day) {
        0 => "today".to_owned(),
        days => format!("{days} d ago"),
    }
}

/// A long text shortened in the middle: ids and keys in tables.
pub fn short(id: &str) -> String {
    let digits = id.strip_prefix("0x").unwrap_or(id);
    match (digits.get(..8), digits.get(digits.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if digits.len() > 16 => format!("{head}..{tail}"),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_rounded_half_away_from_zero() {
        assert_eq!(
            (points(86_250), points(86_249), points(100_000)),
            ("86.3".into(), "86.2".into(), "100.0".into())
        );
        assert_eq!((signed(-1_950, 1_000, 1), signed(49, 1_000, 1)), ("-2.0".into(), "+0.0".into()));
        assert_eq!((decimal(-1, 1_000, 1), decimal(5, 0, 0)), ("0.0".into(), "5".into()));
        assert_eq!((score(7_562), decimal(i64::MIN, 1, 0)), ("75.62".into(), i64::MIN.to_string()));
        assert_eq!(
            (thousands(0), thousands(999), thousands(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
    }

    #[test]
    fn every_day_of_three_centuries_has_one_date() {
        let mut previous = String::new();
        for day in 0..110_000 {
            let text = date(day);
            assert_eq!(day_of_date(&text).unwrap(), day);
            assert!(text > previous, "{text} after {previous}");
            previous = text;
        }
        assert_eq!((date(0), date(16_825)), ("1970-01-01".into(), "2016-01-25".into()));
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "2026-02-29",
            "2026-13-01",
            "1969-12-31",
            "26-01-01",
            "2026-1-1",
            "2026-01-01x",
            "+026-01-01",
            "",
        ] {
            assert!(day_of_date(text).unwrap_err().contains("YYYY-MM-DD"), "{text}");
        }
        assert!(day_of_date("2024-02-29").is_ok() && day_of_date("9999-12-31").is_ok());
    }

    #[test]
    fn times_and_ages_read_as_people_write_them() {
        assert_eq!(time(1_453_680_000_000 + 3_723_999), "2016-01-25 01:02:03 UTC");
        assert_eq!(time(u64::MAX), format!("{} ms", u64::MAX));
        assert_eq!(
            (days_ago(10, 10), days_ago(10, 22), days_ago(11, 10)),
            ("today".into(), "12 d ago".into(), "today".into())
        );
    }

    #[test]
    fn only_long_ids_are_shortened() {
        assert_eq!(short(&format!("0x{}", "ab".repeat(32))), "abababab..abab");
        assert_eq!(short("node-1"), "node-1");
        assert_eq!(short("0123456789éabcdefghij"), "01234567..ghij");
    }
}
