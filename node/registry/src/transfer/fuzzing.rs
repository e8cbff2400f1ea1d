//! Archives, for trustnet-fuzz.

use std::io::{self, Read as _};

use super::path;
use super::tar_read::TarReader;

/// A tar archive.
///
/// # Panics
/// When it has more content than bytes, or a path that was made plain leads out.
pub fn archive(bytes: &[u8]) {
    let mut reader = TarReader::new(bytes);
    let mut total = 0;
    while let Ok(Some(head)) = reader.next() {
        if let Ok(plain) = path::plain(&head.path) {
            assert!(!plain.starts_with('/') && plain.split('/').all(|part| part != ".."), "{plain}");
        }
        match io::copy(&mut reader.by_ref(), &mut io::sink()) {
            Ok(read) => {
                assert_eq!(read, head.len);
                total += read;
            }
            Err(_) => break,
        }
    }
    assert!(total <= bytes.len() as u64, "{total} bytes of content in an archive of {}", bytes.len());
}
