//! What a certificate says of itself: when it is valid, and for which names.
//!
//! Of all that X.509 is, these two are what renewal asks for, so they are read here rather than by a library that reads
//! the rest, too. Nothing is trusted for what is read here: whether a certificate is signed as it should be, rustls says.

use std::net::IpAddr;

use super::names::Names;

/// A day, in seconds.
pub(crate) const DAY_SECONDS: u64 = 24 * 60 * 60;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const ADDRESS: u8 = 0x87;
/// 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// What a certificate says of itself. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) names: Names,
}

/// A reader that only moves forward.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and content.
    fn next(&mut self) -> Option<(u8, Der<'a>)> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            // Two bytes of length are more than any certificate that is taken here.
            let count = usize::from(first & 0x7f);
            let (bytes, rest) = rest.split_at_checked(count).filter(|_| (1..=2).contains(&count))?;
            (bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        };
        let (content, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, Der(content)))
    }

    fn expect(&mut self, tag: u8) -> Option<Der<'a>> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    fn skip_if(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            self.next();
        }
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let before = BEFORE.get(usize::try_from(month.checked_sub(1)?).ok()?)?;
    if year < 1970 || !(1..=31).contains(&day) {
        return None;
    }
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let is_leap = leaps(year) > leaps(year - 1);
    let leap_days = leaps(year - 1) - leaps(1969) + u64::from(is_leap && month > 2);
    Some((year - 1970) * 365 + leap_days + before + day - 1)
}

/// Reads a time as certificates write it: whole seconds, in UTC.
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    let text = text.strip_suffix(b"Z").filter(|text| text.iter().all(u8::is_ascii_digit))?;
    let number = |part: &[u8]| part.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let (year, rest) = match (tag, text.len()) {
        // RFC 5280: from 50 on it is the last century.
        (UTC_TIME, 12) => match number(&text[..2]) {
            year if year < 50 => (2000 + year, &text[2..]),
            year => (1900 + year, &text[2..]),
        },
        (GENERALIZED_TIME, 14) => (number(&text[..4]), &text[4..]),
        _ => return None,
    };
    let part = |index: usize| number(&rest[2 * index..2 * index + 2]);
    let (hours, minutes, seconds) = (part(2), part(3), part(4));
    if hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    // What began before 1970 began long ago.
    let days = if year < 1970 { 0 } else { days(year, part(0), part(1))? };
    Some(days * DAY_SECONDS + hours * 3600 + minutes * 60 + seconds)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn names(mut extensions: Der<'_>) -> Option<Names> {
    let (mut hosts, mut addresses) = (Vec::new(), Vec::new());
    while let Some((SEQUENCE, mut extension)) = extensions.next() {
        let is_wanted = extension.expect(OBJECT)?.0 == SUBJECT_ALT_NAME;
        extension.skip_if(BOOLEAN);
        if !is_wanted {
            continue;
        }
        let mut list = extension.expect(OCTET_STRING)?.expect(SEQUENCE)?;
        while let Some((tag, name)) = list.next() {
            match tag {
                DNS_NAME => hosts.push(std::str::from_utf8(name.0).ok()?.to_ascii_lowercase()),
                ADDRESS => addresses.push(address(name.0)?),
                _ => {}
            }
        }
    }
    Some(Names::from_parts(hosts, addresses))
}

impl Facts {
    /// Reads a certificate; `None` if it is none.
    pub(crate) fn read(certificate: &[u8]) -> Option<Self> {
        let mut body = Der(certificate).expect(SEQUENCE)?.expect(SEQUENCE)?;
        body.skip_if(VERSION);
        // Serial number, algorithm of the signature, issuer.
        body.expect(INTEGER)?;
        body.expect(SEQUENCE)?;
        body.expect(SEQUENCE)?;
        let mut validity = body.expect(SEQUENCE)?;
        let (tag, text) = validity.next()?;
        let not_before = time(tag, text.0)?;
        let (tag, text) = validity.next()?;
        let not_after = time(tag, text.0)?;
        // Subject, key, and what only old certificates have.
        body.expect(SEQUENCE)?;
        body.expect(SEQUENCE)?;
        let mut found = Names::default();
        while let Some((tag, mut content)) = body.next() {
            if tag == EXTENSIONS {
                found = names(content.expect(SEQUENCE)?)?;
            }
        }
        Some(Self { not_before, not_after, names: found })
    }

    /// When a certificate should be made anew, in seconds since 1970: when a third of its life is left.
    pub(crate) fn renew_at(&self) -> u64 {
        self.not_after - self.not_after.saturating_sub(self.not_before) / 3
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn certificate() -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["pi.local".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress("192.0.2.7".parse().unwrap()));
        params.subject_alt_names.push(SanType::IpAddress("2001:db8::7".parse().unwrap()));
        params.not_before = date_time_ymd(2024, 2, 29);
        params.not_after = date_time_ymd(2055, 3, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn what_was_written_is_read() {
        let facts = Facts::read(&certificate()).unwrap();
        // As `date -u -d 2024-02-29 +%s` has it; the second one is beyond what two digits of a year can say.
        assert_eq!((facts.not_before, facts.not_after), (1_709_164_800, 2_687_472_000));
        let mut names = Names::default();
        for name in ["pi.local", "192.0.2.7", "2001:db8::7"] {
            names.add(name).unwrap();
        }
        assert_eq!(facts.names, names);
        assert_eq!(facts.renew_at(), 2_687_472_000 - (2_687_472_000 - 1_709_164_800) / 3);
    }

    #[test]
    fn days_of_the_calendar() {
        for (date, expected) in [
            ((1970, 1, 1), 0),
            ((1972, 3, 1), 790),
            ((2000, 2, 29), 11_016),
            ((2026, 11, 28), 20_785),
            ((2100, 3, 1), 47_541),
        ] {
            assert_eq!(days(date.0, date.1, date.2), Some(expected), "{date:?}");
        }
        for bad in [(2026, 0, 1), (2026, 13, 1), (2026, 1, 0), (2026, 1, 32), (1969, 1, 1)] {
            assert_eq!(days(bad.0, bad.1, bad.2), None, "{bad:?}");
        }
    }

    #[test]
    fn what_is_none_is_refused_and_never_panics() {
        let whole = certificate();
        for len in 0..whole.len() {
            assert!(Facts::read(&whole[..len]).is_none());
        }
        for at in 0..whole.len() {
            for value in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                if let Some(facts) = Facts::read(&changed) {
                    assert!(facts.names.len() <= 3);
                }
            }
        }
        for bad in
            [&b"261301000000Z"[..], b"26110100000Z", b"2611010000000", b"26110a000000Z", b"261101250000Z"]
        {
            assert_eq!(time(UTC_TIME, bad), None);
        }
    }
}
