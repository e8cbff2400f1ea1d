use super::*;

const NOW_MS: u64 = 1_000;

/// Copies, each with when it was pulled and the numbers of its files, whose lengths are given.
fn stock(lens: &[u64], copies: &[(u64, &[usize])]) -> Stock {
    let mut stock = Stock::default();
    for len in lens {
        stock.add_file(*len);
    }
    for (pulled_ms, files) in copies {
        stock.add(Copied { pulled_ms: *pulled_ms, stays: false, files: files.to_vec() });
    }
    stock
}

fn gone(stock: &Stock, terms: Terms, now_ms: u64) -> Vec<usize> {
    stock.outworn(terms, now_ms).copies
}

fn within(max_bytes: u64) -> Terms {
    Terms { max_bytes: Some(max_bytes), ..Terms::default() }
}

fn for_ms(keep_ms: u64) -> Terms {
    Terms { keep_ms: Some(keep_ms), ..Terms::default() }
}

#[test]
fn without_terms_nothing_goes() {
    let stock = stock(&[u64::MAX, u64::MAX], &[(0, &[0]), (0, &[1])]);
    assert_eq!(gone(&stock, Terms::default(), u64::MAX), [0; 0]);
    assert_eq!(stock.bytes(), u64::MAX);
    assert_eq!(gone(&Stock::default(), within(0), u64::MAX), [0; 0]);
}

#[test]
fn what_was_not_pulled_for_long_goes() {
    let stock = stock(&[1, 1, 1, 1], &[(900, &[0]), (400, &[1]), (500, &[2]), (2_000, &[3])]);
    assert_eq!(gone(&stock, for_ms(500), NOW_MS), [1], "exactly as old is not older");
    assert_eq!(gone(&stock, for_ms(499), NOW_MS), [1, 2]);
    assert_eq!(gone(&stock, for_ms(0), NOW_MS), [1, 2, 0], "the oldest first; none is from the future");
    assert_eq!(gone(&stock, for_ms(u64::MAX), NOW_MS), [0; 0]);
}

#[test]
fn above_the_limit_the_oldest_go_until_it_is_kept() {
    let stock = stock(&[10, 20, 30, 40], &[(3, &[0]), (1, &[1]), (2, &[2]), (4, &[3])]);
    for (max_bytes, expected) in [
        (100, &[][..]),
        (99, &[1]),
        (80, &[1]),
        (79, &[1, 2]),
        (50, &[1, 2]),
        (49, &[1, 2, 0]),
        (40, &[1, 2, 0]),
        (0, &[1, 2, 0, 3]),
    ] {
        assert_eq!(gone(&stock, within(max_bytes), NOW_MS), expected, "{max_bytes}");
    }
}

#[test]
fn what_copies_share_takes_room_once_and_goes_with_the_last_of_them() {
    let stock = stock(&[100, 1, 2, 3], &[(1, &[0, 1]), (2, &[0, 2]), (3, &[3])]);
    assert_eq!(stock.bytes(), 106);
    assert_eq!(gone(&stock, within(105), NOW_MS), [0]);
    assert_eq!(gone(&stock, within(104), NOW_MS), [0, 1], "the first gave back next to nothing");
    assert_eq!(gone(&stock, within(3), NOW_MS), [0, 1]);
    assert_eq!(stock.outworn(within(105), NOW_MS).left, 105);
    assert_eq!(stock.outworn(within(104), NOW_MS).left, 3);
}

#[test]
fn what_stays_counts_and_others_go_for_it() {
    let mut stock = stock(&[50, 10], &[]);
    stock.add(Copied { pulled_ms: 1, stays: true, files: vec![0] });
    stock.add(Copied { pulled_ms: 2, stays: false, files: vec![1] });
    assert_eq!(gone(&stock, within(55), NOW_MS), [1]);
    assert_eq!(stock.outworn(within(0), NOW_MS), Outworn { copies: vec![1], left: 50 }, "that is not enough");
    assert_eq!(gone(&stock, for_ms(0), NOW_MS), [1]);
}

#[test]
fn both_terms_at_once() {
    let stock = stock(&[10, 10, 10], &[(100, &[0]), (600, &[1]), (700, &[2])]);
    let terms = |keep_ms, max_bytes| Terms { keep_ms: Some(keep_ms), max_bytes: Some(max_bytes) };
    assert_eq!(gone(&stock, terms(500, 30), NOW_MS), [0]);
    assert_eq!(gone(&stock, terms(500, 10), NOW_MS), [0, 1]);
    assert_eq!(gone(&stock, terms(5_000, 30), NOW_MS), [0; 0]);
}

#[test]
fn among_equals_the_order_decides() {
    let stock = stock(&[1, 1, 1], &[(5, &[0]), (5, &[1]), (5, &[2])]);
    assert_eq!(gone(&stock, within(1), NOW_MS), [0, 1]);
    assert_eq!(gone(&stock, for_ms(1), NOW_MS), [0, 1, 2]);
}

#[test]
fn a_copy_of_nothing_goes_like_any_other() {
    let stock = stock(&[7], &[(1, &[]), (2, &[0])]);
    assert_eq!(gone(&stock, within(6), NOW_MS), [0, 1]);
}
