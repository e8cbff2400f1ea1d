//! Sending what is missing: senders that sign and submit, and one loop that asks how far the chain is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::chain::{CODE_POOL_FULL, Chain, MAX_KEYS, Reply};
use super::csv::MAX_PROBLEMS_SHOWN;
use super::outcome::{ImportError, Patience, Summary};
use super::plan::{Account, CurrentRatings, Plan, Work};
use super::progress::{Phase, Progress, Snapshot};
use super::window::{Answer, Limits, Ticket, Window};
use crate::client::ClientError;

/// Transactions in one request.
const BATCH: usize = 200;
/// Pauses between two questions how far the chain is: shorter when few accounts are left, since
/// those are held up by their window.
const POLL_SHORT: Duration = Duration::from_millis(40);
const POLL_LONG: Duration = Duration::from_millis(150);
/// From so many waiting accounts on the longer pause applies.
const MANY_WAITING: usize = 1_000;
/// First and longest pause of a sender whose transactions were not taken.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_LAST: Duration = Duration::from_secs(1);
/// How long a sender without work waits before it looks again.
const IDLE: Duration = Duration::from_millis(20);
/// Most senders.
const MAX_SENDERS: usize = 16;

/// Brings everything of the plan that is missing onto the chain and waits until it is committed.
///
/// # Errors
/// [`ImportError`]; whatever was committed before stays, and a repetition goes on from there.
pub fn run(
    plan: &Plan,
    chain: &dyn Chain,
    patience: Patience,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Summary, ImportError> {
    progress.update(&Snapshot {
        phase: Phase::Comparing,
        committed: 0,
        total: plan.people.len() + plan.rating_count(),
        in_flight: 0,
        elapsed: Duration::ZERO,
    });
    let chain_id = one_chain_id(chain, patience, stop)?;
    let work = compare(plan, chain, patience, stop)?;
    let senders =
        thread::available_parallelism().map_or(1, usize::from).max(chain.endpoints()).min(MAX_SENDERS);
    let mut window = Window::new(Limits::default(), senders);
    for lane in &work.lanes {
        window.add(lane.first_nonce, lane.items.len(), usize::from(lane.registers));
    }
    let import = Import {
        plan,
        work: &work,
        chain,
        chain_id: &chain_id,
        patience,
        progress,
        stop,
        total: work.lanes.iter().map(|lane| lane.items.len()).sum(),
        registrations: work.lanes.iter().filter(|lane| lane.registers).count(),
        started: Instant::now(),
        ended: AtomicBool::new(false),
        state: Mutex::new(State {
            window,
            refused: Vec::new(),
            refused_count: 0,
            first_code: 0,
            unregistered: false,
            last_words: String::new(),
            last_answer: Instant::now(),
            last_failure: None,
        }),
        wake: Condvar::new(),
    };
    import.send_all(senders)?;
    let state = import.lock();
    Ok(Summary {
        chain_id: chain_id.clone(),
        people: plan.people.len(),
        ratings: plan.rating_count(),
        registered: import.registrations,
        rated: import.total - import.registrations,
        present: work.registered + work.rated,
        elapsed: import.started.elapsed(),
        resent: state.window.resent(),
    })
}

fn one_chain_id(chain: &dyn Chain, patience: Patience, stop: &AtomicBool) -> Result<String, ImportError> {
    let first = patiently(chain, patience.first_contact, stop, |endpoint| chain.chain_id(endpoint))?;
    for endpoint in 0..chain.endpoints() {
        // An endpoint that is down now may come back; one of another chain never fits.
        if let Ok(other) = chain.chain_id(endpoint)
            && other != first
        {
            return Err(ImportError::DifferentChains(first, other));
        }
    }
    Ok(first)
}

fn compare(
    plan: &Plan,
    chain: &dyn Chain,
    patience: Patience,
    stop: &AtomicBool,
) -> Result<Work, ImportError> {
    let mut accounts: Vec<Account> = Vec::with_capacity(plan.people.len());
    for keys in plan.keys().chunks(MAX_KEYS) {
        accounts
            .extend(patiently(chain, patience.unreachable, stop, |endpoint| chain.accounts(endpoint, keys))?);
    }
    // Without one account of ours there are no ratings of ours to look for.
    let known = accounts.iter().any(|account| account.nonce > 0);
    let current = if known {
        patiently(chain, patience.unreachable, stop, |endpoint| chain.ratings(endpoint))?
    } else {
        CurrentRatings::new()
    };
    Ok(plan.missing(&accounts, &current))
}

/// Asks one endpoint after the other until one answers or patience ends.
fn patiently<T>(
    chain: &dyn Chain,
    patience: Duration,
    stop: &AtomicBool,
    mut ask: impl FnMut(usize) -> Result<T, ClientError>,
) -> Result<T, ImportError> {
    let started = Instant::now();
    let mut endpoint = 0;
    loop {
        match ask(endpoint % chain.endpoints().max(1)) {
            Ok(answer) => return Ok(answer),
            Err(source) if started.elapsed() >= patience => {
                return Err(ImportError::Unreachable { source, patience });
            }
            Err(_) if stop.load(Ordering::Relaxed) => {
                return Err(ImportError::Interrupted { committed: 0, total: 0 });
            }
            Err(_) => {}
        }
        endpoint += 1;
        if endpoint % chain.endpoints().max(1) == 0 {
            thread::sleep(BACKOFF_FIRST * 4);
        }
    }
}

struct Import<'a> {
    plan: &'a Plan,
    work: &'a Work,
    chain: &'a dyn Chain,
    chain_id: &'a str,
    patience: Patience,
    progress: &'a dyn Progress,
    stop: &'a AtomicBool,
    total: usize,
    registrations: usize,
    started: Instant,
    ended: AtomicBool,
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    window: Window,
    refused: Vec<String>,
    refused_count: usize,
    first_code: u32,
    /// Whether somebody could not be registered.
    unregistered: bool,
    /// What a node last said when it did not take a transaction.
    last_words: String,
    last_answer: Instant,
    last_failure: Option<ClientError>,
}

impl Import<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A sender that panicked leaves counters that are still true.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn send_all(&self, senders: usize) -> Result<(), ImportError> {
        thread::scope(|scope| {
            for sender in 0..senders {
                scope.spawn(move || self.sender(sender));
            }
            let result = self.watch();
            self.ended.store(true, Ordering::Relaxed);
            self.wake.notify_all();
            result
        })
    }

    /// One sender: takes, signs, submits, and backs off when a node does not take.
    fn sender(&self, sender: usize) {
        let mut endpoint = sender;
        let mut pause = BACKOFF_FIRST;
        while !self.ended.load(Ordering::Relaxed) {
            let tickets = {
                let mut state = self.lock();
                let tickets = state.window.take(sender, BATCH, self.now_ms());
                if tickets.is_empty() {
                    drop(self.wake.wait_timeout(state, IDLE));
                    continue;
                }
                tickets
            };
            let sign = |ticket: &Ticket| {
                self.plan.sign(self.work, &self.work.lanes[ticket.lane], ticket.item, self.chain_id)
            };
            let signed: Vec<Vec<u8>> = tickets.iter().map(sign).collect();
            let result = self.chain.submit(endpoint % self.chain.endpoints().max(1), &signed);
            if result.is_err() {
                endpoint += 1;
            }
            if self.take_in(&tickets, result) {
                pause = BACKOFF_FIRST;
            } else {
                self.rest(pause);
                pause = (pause * 2).min(BACKOFF_LAST);
            }
        }
    }

    /// Notes the answers to a batch; whether all of it was settled.
    fn take_in(&self, tickets: &[Ticket], result: Result<Vec<Reply>, ClientError>) -> bool {
        let mut state = self.lock();
        let replies = match result {
            Ok(replies) => replies,
            Err(error) => {
                if state.last_failure.is_none() {
                    self.progress.note(&format!("{error}; trying again"));
                }
                state.last_failure = Some(error);
                for &ticket in tickets {
                    state.window.answer(ticket, Answer::Later);
                }
                return false;
            }
        };
        state.last_answer = Instant::now();
        state.last_failure = None;
        let (mut settled, mut full) = (true, false);
        for (index, &ticket) in tickets.iter().enumerate() {
            let reply =
                replies.get(index).map_or((Answer::Later, 0, ""), |r| (r.answer, r.code, r.log.as_str()));
            if !state.window.answer(ticket, reply.0) {
                continue;
            }
            match reply.0 {
                Answer::Taken => {}
                Answer::Later => {
                    settled = false;
                    full |= reply.1 == CODE_POOL_FULL;
                    reply.2.clone_into(&mut state.last_words);
                }
                Answer::Refused => state.refuse(self, ticket, reply.1, reply.2),
            }
        }
        if full {
            state.window.congested();
        }
        settled
    }

    fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut state = self.lock();
        while !self.ended.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Asks for nonces until everything is committed, refused, or patience ends.
    fn watch(&self) -> Result<(), ImportError> {
        let mut endpoint = 0;
        let mut progressed = (Instant::now(), 0);
        loop {
            let (waiting, finished) = {
                let mut state = self.lock();
                state.window.resend_stale(self.now_ms());
                (state.window.waiting(), state.window.is_done())
            };
            self.show(finished);
            if finished {
                return self.outcome();
            }
            let committed = self.lock().window.confirmed();
            if self.stop.load(Ordering::Relaxed) {
                return Err(ImportError::Interrupted { committed, total: self.total });
            }
            if committed > progressed.1 {
                progressed = (Instant::now(), committed);
            }
            self.check_patience(progressed.0, committed)?;
            for lanes in waiting.chunks(MAX_KEYS) {
                if self.ask(endpoint, lanes) {
                    self.wake.notify_all();
                } else {
                    endpoint = (endpoint + 1) % self.chain.endpoints().max(1);
                    break;
                }
            }
            thread::sleep(if waiting.len() >= MANY_WAITING { POLL_LONG } else { POLL_SHORT });
            self.stop_after_refused_registration()?;
        }
    }

    fn ask(&self, endpoint: usize, lanes: &[usize]) -> bool {
        let key = |&lane: &usize| self.plan.people[self.work.lanes[lane].person].public;
        let answer = self.chain.accounts(endpoint, &lanes.iter().map(key).collect::<Vec<_>>());
        let now_ms = self.now_ms();
        let mut state = self.lock();
        match answer {
            Ok(accounts) => {
                state.last_answer = Instant::now();
                for (&lane, account) in lanes.iter().zip(accounts) {
                    state.window.nonce(lane, account.nonce, now_ms);
                }
                true
            }
            Err(error) => {
                state.last_failure = Some(error);
                false
            }
        }
    }

    fn show(&self, finished: bool) {
        let snapshot = {
            let state = self.lock();
            let phase = match (finished, state.window.is_open()) {
                (true, _) => Phase::Done,
                (false, true) => Phase::Rating,
                (false, false) => Phase::Registering,
            };
            Snapshot {
                phase,
                committed: state.window.confirmed(),
                total: self.total,
                in_flight: state.window.in_flight(),
                elapsed: self.started.elapsed(),
            }
        };
        self.progress.update(&snapshot);
    }

    fn check_patience(&self, progressed: Instant, committed: usize) -> Result<(), ImportError> {
        let mut state = self.lock();
        if state.last_answer.elapsed() >= self.patience.unreachable
            && let Some(source) = state.last_failure.take()
        {
            return Err(ImportError::Unreachable { source, patience: self.patience.unreachable });
        }
        if progressed.elapsed() >= self.patience.standstill {
            let words = &state.last_words;
            let reason = if words.is_empty() { String::new() } else { format!("; the node said: {words}") };
            return Err(ImportError::Standstill {
                patience: self.patience.standstill,
                committed,
                total: self.total,
                reason,
            });
        }
        Ok(())
    }

    /// Ratings of somebody who could not be registered would be refused one by one: end before them.
    fn stop_after_refused_registration(&self) -> Result<(), ImportError> {
        let state = self.lock();
        if state.unregistered && state.window.is_open() {
            drop(state);
            return self.outcome();
        }
        Ok(())
    }

    fn outcome(&self) -> Result<(), ImportError> {
        let mut state = self.lock();
        if state.refused_count == 0 {
            return Ok(());
        }
        let count = state.refused_count;
        let left = self.total - state.window.confirmed() - count;
        let list = std::mem::take(&mut state.refused);
        Err(ImportError::Refused { list, count, left, code: state.first_code })
    }
}

impl State {
    fn refuse(&mut self, import: &Import<'_>, ticket: Ticket, code: u32, log: &str) {
        let lane = &import.work.lanes[ticket.lane];
        self.unregistered |= lane.registers && ticket.item == 0;
        if self.refused_count == 0 {
            self.first_code = code;
        }
        self.refused_count += 1;
        if self.refused.len() < MAX_PROBLEMS_SHOWN {
            let what = import.plan.describe(lane, ticket.item);
            let log = crate::output::harmless(log);
            self.refused.push(format!("{what}: {log}"));
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
