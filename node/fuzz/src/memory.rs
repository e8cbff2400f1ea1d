//! What a decoder may take: memory is counted, so that a short input that asks for much is found.

use peak_alloc::PeakAlloc;

#[global_allocator]
static COUNTED: PeakAlloc = PeakAlloc;

/// What any decoder may take at once, in bytes: serde makes room for up to 1 MiB of announced elements.
const ALLOWANCE_BYTES: usize = 2 * 1024 * 1024;
/// What it may take for each byte of its input: the value, its encoding for comparison, and room to grow.
const PER_INPUT_BYTE: usize = 8;

/// Runs a decoder of `input` and sees to it that its memory stays in proportion. Only sound while no other thread
/// allocates much.
///
/// # Panics
/// When it took more.
pub fn bounded<T>(input: &[u8], decode: impl FnOnce() -> T) -> T {
    COUNTED.reset_peak_usage();
    let before = COUNTED.current_usage();
    let decoded = decode();
    let taken = COUNTED.peak_usage().saturating_sub(before);
    let allowed = ALLOWANCE_BYTES + PER_INPUT_BYTE * input.len();
    assert!(
        taken <= allowed,
        "decoding {} bytes took {taken} bytes of memory, more than {allowed}",
        input.len()
    );
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_in_proportion_passes() {
        assert_eq!(bounded(&[0; 100], || vec![1_u8; 1024]).len(), 1024);
    }

    #[test]
    #[should_panic(expected = "took")]
    fn an_input_that_asks_for_much_is_noticed() {
        bounded(&[0; 10], || vec![1_u8; 3 * 1024 * 1024]);
    }
}
