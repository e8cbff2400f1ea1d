//! Numbers as people read them. Integer arithmetic only.

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Centi-points as points: `7562` as `75.62`.
pub fn centi(value: u64) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

/// Milli-points as points with one decimal, cut off: `86329` as `86.3`.
pub fn milli_tenths(value: u64) -> String {
    format!("{}.{}", value / 1_000, value % 1_000 / 100)
}

/// Thousandths of a star as stars with two decimals, cut off: `4666` as `4.66`.
pub fn stars(milli: u64) -> String {
    format!("{}.{:02}", milli / 1_000, milli % 1_000 / 10)
}

/// Signed centi-points with their sign: `+0.52`, `-1.79`.
pub fn signed_centi(value: i64) -> String {
    let sign = if value < 0 { '-' } else { '+' };
    format!("{sign}{}", centi(value.unsigned_abs()))
}

/// A duration: `85 ms`, `1.4 s`, `3 min`, `2 h`, `4 d`.
pub fn duration_ms(ms: u64) -> String {
    match ms {
        0..=999 => format!("{ms} ms"),
        1_000..=99_999 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        100_000..=7_199_999 => format!("{} min", ms / 60_000),
        7_200_000..=172_799_999 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

/// A day counted from 1970-01-01 as `2016-01-25` (proleptic Gregorian, UTC).
pub fn day(days: u32) -> String {
    // Days are counted from 0000-03-01, so that the leap day ends a year (Hinnant's algorithm).
    let shifted = u64::from(days) + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// At most `width` characters; what is cut off is marked.
pub fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(2)).collect();
    format!("{kept}..").chars().take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            [grouped(0), grouped(999), grouped(1_000), grouped(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!((centi(7_562).as_str(), centi(5).as_str()), ("75.62", "0.05"));
        assert_eq!((milli_tenths(86_329).as_str(), stars(4_666).as_str()), ("86.3", "4.66"));
        assert_eq!(
            (signed_centi(-179).as_str(), signed_centi(52).as_str(), signed_centi(0).as_str()),
            ("-1.79", "+0.52", "+0.00")
        );
    }

    #[test]
    fn durations_change_their_unit() {
        let all: Vec<String> = [85, 1_449, 99_999, 180_000, 7_200_000, 345_600_000].map(duration_ms).into();
        assert_eq!(all, ["85 ms", "1.4 s", "99.9 s", "3 min", "2 h", "4 d"]);
    }

    #[test]
    fn days_are_civil_dates() {
        for (days, date) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (16_825, "2016-01-25"),
            (20_777, "2026-11-20"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(day(days), date);
        }
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(
            (fit("abc", 3).as_str(), fit("abcd", 3).as_str(), fit("abcd", 1).as_str()),
            ("abc", "a..", ".")
        );
    }
}
