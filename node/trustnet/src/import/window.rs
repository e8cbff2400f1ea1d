//! Which transactions may be sent next: a bounded window over many accounts, without I/O or clock.
//!
//! Every account is a lane of transactions with consecutive nonces. A lane moves in two marks: `sent`
//! (handed to a node that took it) and `confirmed` (in the chain, by the account's nonce). Everything
//! that can go wrong on the way (a full pool, a lost connection, a node that restarted and forgot its
//! pool) is answered by moving `sent` back: sending a transaction twice is harmless, because its nonce
//! makes it count once.

/// How far ahead of the chain the import may run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Unconfirmed transactions of one account. The pool takes 64; some room is left for what a
    /// lagging node has not seen committed yet.
    pub per_account: usize,
    /// Unconfirmed transactions in all.
    pub total: usize,
    /// Without any progress of the chain for so long, everything unconfirmed is sent again.
    pub stale_ms: u64,
    /// Without progress of one account for so long, its transactions are sent again.
    pub lane_stale_ms: u64,
}

/// However full a pool is, so many unconfirmed transactions are tried.
const MIN_ALLOWED: usize = 64;

impl Default for Limits {
    fn default() -> Self {
        Self { per_account: 56, total: 16_384, stale_ms: 8_000, lane_stale_ms: 30_000 }
    }
}

/// One transaction: which account, and which of its transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The account, by its place in the plan.
    pub lane: usize,
    /// The transaction, by its place in the account's list.
    pub item: usize,
}

/// What a node said to one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is in the pool, or was there or in the chain already.
    Taken,
    /// It was not taken for a reason that passes: the pool is full, the nonce is too far ahead, the
    /// connection broke.
    Later,
    /// The ledger refuses it for good.
    Refused,
}

#[derive(Clone, Debug)]
struct Lane {
    first_nonce: u64,
    /// Transactions still wanted; cut short at a refused one.
    len: usize,
    /// Leading transactions that may go before the gate opens.
    early: usize,
    confirmed: usize,
    sent: usize,
    touched_ms: u64,
}

/// The state of an import's submission.
#[derive(Clone, Debug)]
pub struct Window {
    lanes: Vec<Lane>,
    limits: Limits,
    in_flight: usize,
    /// Unconfirmed transactions allowed at the moment: less than the limit after a pool was full.
    allowed: usize,
    gate_left: usize,
    touched_ms: u64,
    /// Transactions that were sent again.
    resent: u64,
    /// Where the next search begins, so that every lane gets its turn.
    cursor: Vec<usize>,
}

impl Window {
    /// A window for `workers` senders. No transaction behind a lane's early ones is given out before
    /// every early one is confirmed (ratings wait for the registrations of both sides).
    pub fn new(limits: Limits, workers: usize) -> Self {
        Self {
            lanes: Vec::new(),
            limits,
            in_flight: 0,
            allowed: limits.total,
            gate_left: 0,
            touched_ms: 0,
            resent: 0,
            cursor: vec![0; workers.max(1)],
        }
    }

    /// Adds an account with `len` transactions, the first of them with `first_nonce`, of which `early`
    /// may go before the gate opens.
    pub fn add(&mut self, first_nonce: u64, len: usize, early: usize) {
        let early = early.min(len);
        self.gate_left += usize::from(early > 0);
        self.lanes.push(Lane { first_nonce, len, early, confirmed: 0, sent: 0, touched_ms: 0 });
    }

    /// Up to `max` transactions for sender `worker`, marked as sent. A lane belongs to one sender
    /// for ever, so that its transactions arrive in the order of their nonces.
    pub fn take(&mut self, worker: usize, max: usize, now_ms: u64) -> Vec<Ticket> {
        let workers = self.cursor.len();
        let mut tickets = Vec::new();
        let own = (self.lanes.len() + workers - 1).saturating_sub(worker) / workers;
        for step in 0..own {
            let lane = ((self.cursor[worker] + step) % own) * workers + worker;
            let room = max.saturating_sub(tickets.len()).min(self.allowed.saturating_sub(self.in_flight));
            if room == 0 {
                self.cursor[worker] = (self.cursor[worker] + step) % own;
                break;
            }
            let open = self.gate_left == 0;
            let state = &mut self.lanes[lane];
            let end = if open { state.len } else { state.early.min(state.len) };
            let end = end.min(state.confirmed + self.limits.per_account).min(state.sent + room);
            if end <= state.sent {
                continue;
            }
            if state.sent == state.confirmed {
                state.touched_ms = now_ms;
            }
            if self.in_flight == 0 {
                self.touched_ms = now_ms;
            }
            tickets.extend((state.sent..end).map(|item| Ticket { lane, item }));
            self.in_flight += end - state.sent;
            state.sent = end;
        }
        tickets
    }

    /// What a node said to a transaction that was given out. Gives whether that still mattered: what
    /// follows a refused transaction fails for want of its nonce, which is no news.
    pub fn answer(&mut self, ticket: Ticket, answer: Answer) -> bool {
        let lane = &mut self.lanes[ticket.lane];
        if ticket.item >= lane.len {
            return false;
        }
        match answer {
            Answer::Taken => {}
            Answer::Later => self.rewind(ticket.lane, ticket.item),
            Answer::Refused => {
                lane.len = lane.len.min(ticket.item.max(lane.confirmed));
                let len = lane.len;
                self.rewind(ticket.lane, len);
                self.close_gate_of(ticket.lane);
            }
        }
        true
    }

    /// A pool was full: half as many at a time from here on, and more again as the chain takes them.
    /// Pushing on would fill the pool with transactions whose predecessors it turned away.
    pub fn congested(&mut self) {
        self.allowed = (self.in_flight / 2).max(MIN_ALLOWED).min(self.limits.total);
    }

    /// The nonce that the chain has for an account. Older answers than before change nothing.
    pub fn nonce(&mut self, lane: usize, nonce: u64, now_ms: u64) {
        let state = &mut self.lanes[lane];
        let reached = (nonce + 1).saturating_sub(state.first_nonce);
        let reached = usize::try_from(reached).unwrap_or(usize::MAX).min(state.len);
        if reached <= state.confirmed {
            return;
        }
        let was_waiting = state.confirmed < state.early;
        self.in_flight -= reached.min(state.sent) - state.confirmed;
        self.allowed = self.limits.total.min(self.allowed + reached - state.confirmed);
        state.confirmed = reached;
        state.sent = state.sent.max(reached);
        state.touched_ms = now_ms;
        self.touched_ms = now_ms;
        if was_waiting && state.confirmed >= state.early {
            self.gate_left -= 1;
        }
    }

    /// Sends again what has waited too long. Call it now and then.
    pub fn resend_stale(&mut self, now_ms: u64) {
        let all = now_ms.saturating_sub(self.touched_ms) >= self.limits.stale_ms;
        for lane in 0..self.lanes.len() {
            let state = &self.lanes[lane];
            let old = now_ms.saturating_sub(state.touched_ms) >= self.limits.lane_stale_ms;
            if state.sent > state.confirmed && (all || old) {
                self.resent += (state.sent - state.confirmed) as u64;
                let confirmed = state.confirmed;
                self.rewind(lane, confirmed);
            }
        }
        if all {
            self.touched_ms = now_ms;
        }
    }

    /// Accounts that have something unconfirmed: whose nonce is worth asking for.
    pub fn waiting(&self) -> Vec<usize> {
        let waits = |(lane, state): (usize, &Lane)| (state.sent > state.confirmed).then_some(lane);
        self.lanes.iter().enumerate().filter_map(waits).collect()
    }

    /// Whether everything that is still wanted is in the chain.
    pub fn is_done(&self) -> bool {
        self.lanes.iter().all(|lane| lane.confirmed >= lane.len)
    }

    /// Whether the early transactions are through.
    pub fn is_open(&self) -> bool {
        self.gate_left == 0
    }

    /// Transactions in the chain.
    pub fn confirmed(&self) -> usize {
        self.lanes.iter().map(|lane| lane.confirmed).sum()
    }

    /// Transactions sent and not yet in the chain.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Transactions that were sent more than once because they had waited too long.
    pub fn resent(&self) -> u64 {
        self.resent
    }

    fn rewind(&mut self, lane: usize, item: usize) {
        let state = &mut self.lanes[lane];
        let back = item.max(state.confirmed);
        if back < state.sent {
            self.in_flight -= state.sent - back;
            state.sent = back;
        }
    }

    /// A refused early transaction will never be confirmed: the others must not wait for it.
    fn close_gate_of(&mut self, lane: usize) {
        let state = &mut self.lanes[lane];
        if state.confirmed < state.early && state.len < state.early {
            state.early = state.len;
            if state.confirmed >= state.early {
                self.gate_left -= 1;
            }
        }
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
