//! Sizes and ports, as they are written on the command line.

use trustnet_image::vm::Forward;

/// Memory of a machine in MiB. The system needs 256 of them.
pub fn memory(text: &str) -> Result<u64, String> {
    let mib = match text.parse::<u64>() {
        Ok(mib) => Some(mib),
        Err(_) => mib(text),
    };
    mib.filter(|mib| (256..=1_048_576).contains(mib))
        .ok_or_else(|| "give 256M or more, such as 512M or 2G".to_owned())
}

/// Size of a disk in MiB. Its partition table counts no further than 2 TiB.
pub fn disk(text: &str) -> Result<u64, String> {
    let mib =
        mib(text).ok_or_else(|| "give a whole number with M, G or T behind it, such as 8G".to_owned())?;
    if mib > 2 * 1_048_576 {
        Err("2T is the largest disk that the image can use".to_owned())
    } else {
        Ok(mib)
    }
}

/// A forwarded port.
pub fn forward(text: &str) -> Result<Forward, String> {
    let wrong = || format!("{text:?} is not HOST:GUEST, such as 8080:8080");
    let port = |text: &str| text.parse().ok().filter(|port| *port != 0).ok_or_else(wrong);
    let (host, guest) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Forward { host: port(host)?, guest: port(guest)? })
}

fn mib(text: &str) -> Option<u64> {
    let unit = text.char_indices().last()?;
    let factor = match unit.1.to_ascii_uppercase() {
        'M' => 1,
        'G' => 1024,
        'T' => 1024 * 1024,
        _ => return None,
    };
    text[..unit.0].parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_what_is_none_is_refused() {
        assert_eq!((memory("512"), memory("512m"), memory("2G")), (Ok(512), Ok(512), Ok(2048)));
        assert_eq!((disk("324M"), disk("50g"), disk("2T")), (Ok(324), Ok(51_200), Ok(2_097_152)));
        for wrong in ["", "G", "100", "1.5G", "-1G", "8GB", "8\u{20ac}", "18446744073709551615T", "3T"] {
            assert!(disk(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "255M", "64k", "18446744073709551615G"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn forwards_are_two_ports() {
        assert_eq!(forward("8080:80"), Ok(Forward { host: 8080, guest: 80 }));
        for wrong in ["", "80", "80:", ":80", "0:80", "80:0", "65536:80", "1:2:3"] {
            assert!(forward(wrong).is_err(), "{wrong}");
        }
    }
}
