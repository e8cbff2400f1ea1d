#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { per_account: 4, total: 10, stale_ms: 100, lane_stale_ms: 1_000 };

fn window(lanes: &[(usize, usize)], workers: usize) -> Window {
    let mut window = Window::new(LIMITS, workers);
    for &(len, early) in lanes {
        window.add(1, len, early);
    }
    window
}

fn items(tickets: &[Ticket]) -> Vec<(usize, usize)> {
    tickets.iter().map(|t| (t.lane, t.item)).collect()
}

#[test]
fn ratings_wait_until_every_registration_is_confirmed() {
    let mut w = window(&[(2, 1), (1, 0), (3, 1)], 1);
    assert_eq!(items(&w.take(0, 100, 0)), [(0, 0), (2, 0)]);
    w.nonce(0, 1, 1);
    assert!(!w.is_open());
    assert_eq!(w.take(0, 100, 1), []);
    w.nonce(2, 1, 2);
    assert!(w.is_open());
    assert_eq!(items(&w.take(0, 100, 2)), [(0, 1), (1, 0), (2, 1), (2, 2)]);
}

#[test]
fn an_account_runs_no_further_ahead_than_its_window() {
    let mut w = window(&[(9, 0)], 1);
    assert_eq!(w.take(0, 100, 0).len(), 4);
    w.nonce(0, 3, 1);
    assert_eq!(items(&w.take(0, 100, 1)), [(0, 4), (0, 5), (0, 6)]);
    assert_eq!((w.in_flight(), w.confirmed()), (4, 3));
}

#[test]
fn all_accounts_together_run_no_further_ahead_than_the_total_and_take_turns() {
    let mut w = window(&[(4, 0); 5], 1);
    assert_eq!(w.take(0, 100, 0).len(), 10);
    for lane in 0..2 {
        w.nonce(lane, 4, 1);
    }
    assert_eq!(items(&w.take(0, 6, 1)), [(3, 0), (3, 1), (3, 2), (3, 3), (4, 0), (4, 1)]);
}

#[test]
fn each_sender_has_its_own_accounts() {
    let mut w = window(&[(1, 0); 5], 2);
    assert_eq!(items(&w.take(1, 100, 0)), [(1, 0), (3, 0)]);
    assert_eq!(items(&w.take(0, 100, 0)), [(0, 0), (2, 0), (4, 0)]);
    let mut few = window(&[(1, 0)], 3);
    assert_eq!((few.take(2, 9, 0).len(), few.take(1, 9, 0).len(), few.take(0, 9, 0).len()), (0, 0, 1));
}

#[test]
fn what_a_full_pool_turned_away_is_sent_again_with_all_that_follow() {
    let mut w = window(&[(4, 0)], 1);
    let tickets = w.take(0, 100, 0);
    w.answer(tickets[0], Answer::Taken);
    w.answer(tickets[1], Answer::Later);
    w.answer(tickets[2], Answer::Taken);
    assert_eq!(w.in_flight(), 1);
    assert_eq!(items(&w.take(0, 100, 0)), [(0, 1), (0, 2), (0, 3)]);
}

#[test]
fn a_refused_transaction_ends_its_account_and_nobody_else() {
    let mut w = window(&[(4, 0), (2, 0)], 1);
    let tickets = w.take(0, 100, 0);
    w.answer(tickets[2], Answer::Refused);
    w.nonce(0, 2, 1);
    w.nonce(1, 2, 1);
    assert!(w.is_done());
    assert_eq!((w.confirmed(), w.in_flight()), (4, 0));
}

#[test]
fn a_refused_registration_does_not_hold_the_gate_for_ever() {
    let mut w = window(&[(3, 1), (3, 1)], 1);
    let tickets = w.take(0, 100, 0);
    w.answer(tickets[0], Answer::Refused);
    assert!(!w.is_open());
    w.nonce(1, 1, 1);
    assert!(w.is_open());
    assert_eq!(items(&w.take(0, 100, 1)), [(1, 1), (1, 2)]);
}

#[test]
fn a_chain_that_stands_still_gets_everything_again_but_not_too_often() {
    let mut w = window(&[(3, 0)], 1);
    w.take(0, 100, 50);
    w.resend_stale(149);
    assert_eq!(w.take(0, 100, 149), []);
    w.resend_stale(150);
    assert_eq!(w.take(0, 100, 150).len(), 3);
    w.resend_stale(249);
    assert_eq!((w.take(0, 100, 249).len(), w.resent()), (0, 3));
}

#[test]
fn one_account_left_behind_by_a_moving_chain_is_sent_again() {
    let mut w = window(&[(1, 0), (4, 0)], 1);
    w.take(0, 100, 0);
    for time in 1..=3 {
        w.nonce(1, time, time * 333);
    }
    w.resend_stale(1_000);
    assert_eq!(items(&w.take(0, 100, 1_000)), [(0, 0)]);
}

#[test]
fn a_full_pool_makes_it_slower_and_progress_makes_it_faster_again() {
    let mut w = Window::new(Limits { per_account: 500, total: 400, ..LIMITS }, 1);
    w.add(1, 1_000, 0);
    let tickets = w.take(0, 1_000, 0);
    w.answer(tickets[200], Answer::Later);
    w.congested();
    assert_eq!((w.in_flight(), w.take(0, 1_000, 0).len()), (200, 0));
    w.nonce(0, 150, 1);
    assert_eq!(w.take(0, 1_000, 1).len(), 200);
    assert_eq!(w.in_flight(), 250);
}

#[test]
fn answers_of_a_lagging_node_never_move_an_account_back() {
    let mut w = window(&[(4, 0)], 1);
    w.take(0, 100, 0);
    w.nonce(0, 3, 1);
    w.nonce(0, 1, 2);
    assert_eq!((w.confirmed(), w.in_flight()), (3, 1));
    w.nonce(0, 99, 3);
    assert!(w.is_done());
}

#[test]
fn an_account_that_somebody_else_moved_on_is_followed() {
    let mut w = window(&[(4, 0)], 1);
    w.nonce(0, 2, 0);
    assert_eq!(items(&w.take(0, 100, 0)), [(0, 2), (0, 3)]);
    assert_eq!(w.in_flight(), 2);
}

proptest! {
    /// Whatever pools and connections do, the import ends with everything confirmed, never exceeds its
    /// windows and never sends a rating before the registrations are in.
    #[test]
    fn an_unreliable_chain_gets_everything_in_the_end(
        lens in prop::collection::vec((0usize..12, prop::bool::ANY), 1..9),
        mut dice in prop::collection::vec(0u8..8, 4_000),
        workers in 1usize..4,
    ) {
        let lanes: Vec<_> = lens.iter().map(|&(len, early)| (len, usize::from(early))).collect();
        let mut w = window(&lanes, workers);
        let mut pool: Vec<Ticket> = Vec::new();
        let mut chain = vec![0usize; lanes.len()];
        let mut roll = || dice.pop().unwrap_or(0);
        let mut now_ms = 0;
        for _ in 0..2_000 {
            if w.is_done() { break; }
            now_ms += 10;
            for worker in 0..workers {
                for ticket in w.take(worker, 5, now_ms) {
                    prop_assert!(ticket.item < chain[ticket.lane] + LIMITS.per_account + 12);
                    if ticket.item > 0 || lanes[ticket.lane].1 == 0 {
                        prop_assert!(lanes.iter().zip(&chain).all(|(l, &c)| c >= l.1.min(l.0)));
                    }
                    let fate = roll();
                    w.answer(ticket, if fate == 0 { Answer::Later } else { Answer::Taken });
                    // Fate 1: taken, and lost with the pool.
                    if fate > 1 { pool.push(ticket); }
                }
            }
            prop_assert!(w.in_flight() <= LIMITS.total);
            pool.retain(|t| if t.item == chain[t.lane] { chain[t.lane] += 1; false } else { t.item > chain[t.lane] });
            for (lane, &reached) in chain.iter().enumerate() {
                if roll() > 2 { w.nonce(lane, reached as u64, now_ms); }
            }
            w.resend_stale(now_ms);
        }
        prop_assert!(w.is_done());
        prop_assert_eq!(w.confirmed(), lanes.iter().map(|l| l.0).sum::<usize>());
        prop_assert_eq!(w.in_flight(), 0);
    }
}
