//! Turns the fuzzer's bytes into decisions. Read from the front, so that a change late in the input leaves what comes
//! before it as it was; after the end everything is zero, so that every input is a whole script.

/// A script, partly read.
#[derive(Clone, Debug)]
pub struct Script<'a> {
    rest: &'a [u8],
}

/// A first byte up to this is a number itself; a greater one says how many bytes follow.
const SMALL_NUMBERS: u8 = 247;

impl<'a> Script<'a> {
    /// A script from its bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything is read.
    pub fn is_over(&self) -> bool {
        self.rest.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number below `bound` (1 to 256).
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    /// One of several.
    ///
    /// # Panics
    /// When there is none: a mistake in a target.
    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// Any number; small ones are one byte long.
    pub fn number(&mut self) -> u64 {
        let first = self.byte();
        let Some(more) = first.checked_sub(SMALL_NUMBERS).filter(|more| *more > 0) else {
            return u64::from(first);
        };
        (0..more).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// Some bytes, as many as a number before them says and there are.
    pub fn bytes(&mut self) -> &'a [u8] {
        let wanted = usize::try_from(self.number()).unwrap_or(usize::MAX);
        let (taken, rest) = self.rest.split_at(wanted.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_from_the_front_and_goes_on_with_zeros() {
        let mut script = Script::new(&[7, 249, 1, 2, 2, 9, 8, 255]);
        assert_eq!((script.byte(), script.number()), (7, 0x0102));
        assert_eq!(script.bytes(), [9, 8]);
        assert_eq!(script.number(), 0, "the eight bytes that are announced are not there");
        assert!(script.is_over());
        assert_eq!((script.byte(), script.flag(), script.bytes()), (0, false, &[][..]));
    }
}
