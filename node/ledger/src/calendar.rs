//! UTC days and months in integers.

/// Milliseconds in a UTC day.
pub const DAY_MS: u64 = 86_400_000;

/// The UTC day of a Unix time in milliseconds: days since 1970-01-01. Times beyond the year
/// eleven million all fall on the last day there is.
pub fn day_of(time_ms: u64) -> u32 {
    u32::try_from(time_ms / DAY_MS).unwrap_or(u32::MAX)
}

/// The calendar month of a UTC day, counted from January 1970 = 0 (Gregorian calendar).
///
/// Years are counted from 1 March, so that the leap day is a year's last day; in an era of 400 such
/// years (146,097 days) the year and the day of the year then follow by division alone.
pub fn month_of(day: u32) -> u32 {
    // 1970-01-01 is day 719,468 counted from 0000-03-01.
    let days = u64::from(day) + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    // January and February belong to the next civil year; counting months makes that automatic.
    let months_since_march_0000 = (era * 400 + year_of_era) * 12 + month_from_march;
    u32::try_from(months_since_march_0000 + 2 - 1970 * 12).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks the calendar day by day, month by month, with nothing but the leap-year rule.
    #[test]
    fn every_day_of_six_hundred_years_falls_in_its_month() {
        let (mut day, mut month) = (0, 0);
        for year in 1970_u32..2570 {
            let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            for length in [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                for _ in 0..length {
                    assert_eq!(month_of(day), month, "day {day} of {year}");
                    day += 1;
                }
                month += 1;
            }
        }
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        assert_eq!(day_of(DAY_MS - 1), 0);
        assert_eq!(day_of(DAY_MS), 1);
        assert_eq!(day_of(1_453_680_000_000), 16_825);
        assert_eq!(day_of(u64::MAX), u32::MAX);
        assert!(month_of(u32::MAX) > 0);
    }
}
