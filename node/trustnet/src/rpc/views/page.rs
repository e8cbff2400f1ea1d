//! Pages of a list: `page` from 1, `per_page` 30 unless told, at most 100.

use crate::rpc::error::RpcError;
use crate::rpc::limits::{DEFAULT_PER_PAGE, MAX_PER_PAGE};

/// A page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    skip: usize,
    take: usize,
}

/// How many elements are shown: out of range is brought into range, as in `CometBFT`.
pub fn per_page(given: Option<i64>) -> usize {
    let number = given.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(DEFAULT_PER_PAGE);
    number.min(MAX_PER_PAGE) as usize
}

impl Page {
    /// The page that was asked of a list of `total` elements.
    ///
    /// # Errors
    /// [`RpcError::Internal`], with `CometBFT`'s words, when there is no such page.
    pub fn new(page: Option<i64>, per_page_given: Option<i64>, total: usize) -> Result<Self, RpcError> {
        let take = per_page(per_page_given);
        let pages = total.div_ceil(take).max(1);
        let page = page.unwrap_or(1);
        match usize::try_from(page) {
            Ok(number) if (1..=pages).contains(&number) => Ok(Self { skip: (number - 1) * take, take }),
            _ => Err(RpcError::Internal(format!("page should be within [1, {pages}] range, given {page}"))),
        }
    }

    /// The page's part of the list.
    pub fn of<T>(self, list: &[T]) -> &[T] {
        let rest = list.get(self.skip..).unwrap_or_default();
        &rest[..rest.len().min(self.take)]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pages_cover_the_list_without_overlap() {
        let list: Vec<u32> = (0..70).collect();
        let page = |number| Page::new(Some(number), None, list.len()).unwrap().of(&list).to_vec();
        assert_eq!([page(1), page(2), page(3)].concat(), list);
        assert_eq!(page(3).len(), 10);
    }

    #[test]
    fn a_page_beyond_the_last_is_refused_in_cometbfts_words() {
        let error = Page::new(Some(4), None, 70).unwrap_err();
        assert_eq!((error.code(), error.data()), (-32_603, "page should be within [1, 3] range, given 4"));
        assert!(Page::new(Some(0), None, 70).is_err());
        assert!(Page::new(Some(-1), None, 70).is_err());
        assert!(Page::new(Some(i64::MAX), None, 70).is_err());
        assert!(Page::new(Some(1), None, 0).is_ok());
    }

    #[test]
    fn per_page_is_brought_into_its_range() {
        assert_eq!(
            [None, Some(0), Some(-5), Some(1), Some(100), Some(101), Some(i64::MAX)].map(per_page),
            [30, 30, 30, 1, 100, 100, 100]
        );
    }
}
