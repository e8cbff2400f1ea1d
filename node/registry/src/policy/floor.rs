//! Space that stays free: a disk that is full to the last byte fails everything else that runs on the board.

use super::StorageRules;
use super::reserve::Reserved;
use crate::error::{RegistryError, Result};
use crate::store::Store;

/// How much space there is where the registry's files stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What may still be written, in bytes.
    pub free: u64,
    /// What there is altogether, in bytes.
    pub total: u64,
}

impl StorageRules {
    /// What has to stay free on a disk, in bytes.
    fn floor(&self, total: u64) -> u64 {
        let percent = u64::from(self.min_free_percent);
        let share = total / 100 * percent + total % 100 * percent / 100;
        share.max(self.min_free_bytes)
    }

    /// Refuses `bytes` that would leave too little of the space.
    fn check_space(&self, space: Space, bytes: u64) -> Result<()> {
        let floor = self.floor(space.total);
        match space.free.checked_sub(bytes) {
            Some(left) if left >= floor => Ok(()),
            _ => Err(RegistryError::SpaceLow { free: space.free, floor }),
        }
    }
}

impl Store {
    /// How much space there is; `None` if that is not known.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn space(&self) -> Result<Option<Space>> {
        self.files.space().map_err(|e| RegistryError::io("measure the space of", &self.files.describe(""), e))
    }

    /// Refuses `bytes` that would leave too little space, once what is reserved has come.
    pub(crate) fn check_floor(&self, bytes: u64) -> Result<()> {
        self.check_space_beside(self.reservations.left(), bytes)
    }

    /// The same for a part of what `reserved` is for, if it is: what others reserved is no reason to refuse that.
    pub(crate) fn check_part(&self, reserved: Option<&Reserved>, bytes: u64) -> Result<()> {
        match reserved {
            // Something else than this registry may have filled the disk.
            Some(reserved) if reserved.left() >= bytes => self.check_space_beside(0, bytes),
            _ => self.check_floor(bytes),
        }
    }

    fn check_space_beside(&self, taken: u64, bytes: u64) -> Result<()> {
        let rules = self.rules();
        if rules.min_free_bytes == 0 && rules.min_free_percent == 0 {
            return Ok(());
        }
        match self.space()? {
            Some(Space { free, total }) => {
                rules.check_space(Space { free: free.saturating_sub(taken), total }, bytes)
            }
            None => Ok(()),
        }
    }

    /// By how much `bytes` more would leave too little space. What is in quarantine counts as free: it makes way by itself,
    /// and nothing else has to for the same bytes.
    pub(crate) fn space_excess(&self, bytes: u64) -> Result<u64> {
        let rules = self.rules();
        if rules.min_free_bytes == 0 && rules.min_free_percent == 0 {
            return Ok(0);
        }
        let Some(space) = self.space()? else { return Ok(0) };
        let (_, quarantined) = self.blobs.quarantined()?;
        let wanted = rules.floor(space.total).saturating_add(bytes).saturating_add(self.reservations.left());
        Ok(wanted.saturating_sub(space.free.saturating_add(quarantined)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_both_floors_counts() {
        let rules = |min_free_bytes, min_free_percent| StorageRules {
            min_free_bytes,
            min_free_percent,
            ..StorageRules::default()
        };
        let space = |free| Space { free, total: 1_050 };
        assert_eq!(
            (rules(0, 0).floor(1_050), rules(5, 10).floor(1_050), rules(200, 10).floor(1_050)),
            (0, 105, 200)
        );
        assert_eq!(rules(0, 90).floor(u64::MAX), u64::MAX / 100 * 90 + 13);
        assert!(rules(0, 10).check_space(space(205), 100).is_ok());
        let error = rules(0, 10).check_space(space(204), 100).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("204") && text.contains("105")));
        assert!(rules(0, 10).check_space(space(104), 0).is_err());
        assert!(rules(0, 0).check_space(space(10), 11).is_err(), "what does not fit at all");
        assert!(rules(0, 0).check_space(space(10), u64::MAX).is_err());
    }
}
