//! A whole network in one thread: machines, links, clients, virtual time. One seed decides everything.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use trustnet_engine::{Input, TimerId, Timing};
use trustnet_ledger::genesis::Genesis;

use crate::checks::Checks;
use crate::clients::Clients;
use crate::dice::Dice;
use crate::links::Links;
use crate::machine::{Machine, Settings};
use crate::plan::Plan;
use crate::puppet::Puppet;
use crate::seats::{Seat, genesis, genesis_ids};
use crate::tally::{Group, Tally};
use crate::timeline::Timeline;
use crate::verdicts::Verdicts;

/// More messages and timers under way than this mean that messages beget messages without end. A network of 7 has some
/// thousands, one of 100 some ten thousands.
const MAX_UNDER_WAY: usize = 200_000;
/// Quick timeouts, for more rounds in less virtual time.
const QUICK: Timing = Timing {
    propose_ms: 300,
    vote_ms: 150,
    delta_ms: 100,
    max_ms: 3_000,
    pace_ms: 50,
    repair_ms: 300,
    regossip_ms: 700,
    listen_ms: 700,
};

/// What happens next, and when.
pub(crate) enum Event {
    /// A message arrives, on the connection and at the process that it was sent to.
    Arrive { from: usize, to: usize, epoch: u32, boot: u32, bytes: Bytes },
    /// Something else is handed to a process.
    Input { to: usize, boot: u32, input: Box<Input> },
    /// A timer may be due.
    Timer { at: usize, boot: u32, id: TimerId, due_ms: u64 },
    /// A machine starts.
    Boot { at: usize },
    /// Two machines try to connect.
    Dial { a: usize, b: usize },
    /// The other end notices that a connection is gone.
    HangUp { a: usize, b: usize, epoch: u32 },
    /// An act of the plan.
    Act { index: usize },
    /// An act of the plan ends.
    End { index: usize, step: u32 },
    /// Clients act.
    Clients,
    /// A Byzantine machine acts unasked.
    Mischief { at: usize },
}

struct Queued {
    at_ms: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at_ms, self.order) == (other.at_ms, other.order)
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.order).cmp(&(other.at_ms, other.order))
    }
}

/// Streams of chance, one for each concern.
pub(crate) struct Streams {
    pub links: Dice,
    pub crashes: Dice,
    pub disks: Dice,
    pub clients: Dice,
    pub deeds: Dice,
}

/// Traffic, for the simulation of size.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Messages sent.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The network.
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) now_ms: u64,
    queue: BinaryHeap<Reverse<Queued>>,
    order: u64,
    pub(crate) seats: Vec<Seat>,
    pub(crate) by_key: HashMap<[u8; 32], usize>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) puppets: HashMap<usize, Puppet>,
    pub(crate) links: Links,
    pub(crate) settings: Settings,
    pub(crate) verdicts: Arc<Verdicts>,
    pub(crate) clients: Clients,
    pub(crate) checks: Checks,
    pub(crate) tally: Tally,
    pub(crate) dice: Streams,
    pub(crate) violation: Option<String>,
    pub(crate) timeline: Timeline,
    /// Requests for blocks under way: token to asker, its boot, and its tag.
    pub(crate) requests: HashMap<u64, (usize, u32, u64)>,
    pub(crate) next_token: u64,
    /// Tokens of clients: token to client.
    pub(crate) tokens: HashMap<u64, usize>,
    /// Copies of disks, for the acts that put them back.
    pub(crate) backups: HashMap<usize, trustnet_store::MemDir>,
    /// Points that a machine has taken off a peer.
    pub(crate) scores: HashMap<(usize, usize), i32>,
    pub(crate) traffic: Traffic,
    /// Who may hear whom in which round, when rounds are split.
    pub(crate) splits: Option<crate::twins::Splits>,
    pub(crate) storming: bool,
    /// Seats of the healed core, once the storm is over.
    pub(crate) core: Vec<usize>,
}

impl World {
    /// The network of a plan, with its machines about to boot.
    pub fn new(plan: Plan, timeline: Timeline) -> Self {
        let seats: Vec<Seat> = (0..plan.seats).map(Seat::new).collect();
        let genesis = genesis(&seats, &plan.powers);
        Self::with_genesis(plan, timeline, seats, genesis)
    }

    fn with_genesis(plan: Plan, timeline: Timeline, seats: Vec<Seat>, genesis: Genesis) -> Self {
        let ids = genesis_ids(&genesis);
        let verdicts = Arc::new(Verdicts::default());
        let settings = Settings {
            genesis: Arc::new(genesis),
            verifier: Arc::clone(&verdicts) as _,
            timing: if plan.quick { QUICK } else { Timing::default() },
            checkpoint_blocks: plan.checkpoint_blocks,
        };
        let stream = |concern: &str| Dice::new(plan.seed, concern);
        let swarm = plan.byzantine.values().any(|set| set.contains(&crate::behaviour::Behaviour::Swarm));
        let clients = Clients::new(&seats, ids, swarm, stream("who rates"));
        let skew = |seat: usize| plan.skew_ms.get(seat).copied().unwrap_or(0);
        let machines = (0..plan.seats).map(|seat| Machine::new(seat, skew(seat))).collect();
        let mut world = Self {
            now_ms: 0,
            queue: BinaryHeap::new(),
            order: 0,
            by_key: seats.iter().enumerate().map(|(seat, keys)| (keys.node_key.0, seat)).collect(),
            machines,
            puppets: HashMap::new(),
            links: Links::default(),
            settings,
            verdicts,
            clients,
            checks: Checks::default(),
            tally: Tally::default(),
            dice: Streams {
                links: stream("links"),
                crashes: stream("crashes"),
                disks: stream("disks"),
                clients: stream("clients"),
                deeds: stream("deeds"),
            },
            violation: None,
            timeline,
            requests: HashMap::new(),
            next_token: 1,
            tokens: HashMap::new(),
            backups: HashMap::new(),
            scores: HashMap::new(),
            traffic: Traffic::default(),
            splits: None,
            storming: true,
            core: Vec::new(),
            seats,
            plan,
        };
        world.set_up();
        world
    }

    /// Schedules boots, acts and clients, and makes the Byzantine what they are.
    fn set_up(&mut self) {
        use crate::behaviour::Behaviour;
        for at in 0..self.machines.len() {
            self.schedule_boot(at, at as u64 % 5);
        }
        for (seat, behaviours) in self.plan.byzantine.clone() {
            self.checks.unbind(self.seats[seat].validator_key);
            if behaviours.contains(&Behaviour::FalseTime) {
                self.tally.note(Group::Byzantine, Behaviour::FalseTime.name());
                let by_ms = [7_000, 3_600_000, 1_500_000_000_000, -60_000][self.dice.deeds.below(4)];
                self.machines[seat].skew_ms = by_ms;
            }
            let mut bodies = vec![seat];
            if behaviours.contains(&Behaviour::Twin) {
                self.tally.note(Group::Byzantine, Behaviour::Twin.name());
                bodies.push(self.add_double(seat));
            }
            for at in bodies {
                let dice = Dice::new(self.plan.seed, &format!("puppet {at}"));
                let puppet = Puppet::new(self.seats[seat].clone(), behaviours.clone(), dice);
                self.puppets.insert(at, puppet);
                self.schedule(700, Event::Mischief { at });
            }
        }
        for index in 0..self.plan.acts.len() {
            let (at_ms, act) = self.plan.acts[index].clone();
            if at_ms < u64::MAX {
                self.schedule(at_ms, Event::Act { index });
                if let crate::plan::Act::Restore { copied_at_ms, .. } = act {
                    self.schedule(copied_at_ms, Event::End { index, step: 0 });
                }
            }
        }
        self.schedule(100, Event::Clients);
    }

    /// A further machine with the keys of a seat. It boots like any other.
    pub(crate) fn add_double(&mut self, seat: usize) -> usize {
        let at = self.machines.len();
        self.machines.push(Machine::new(seat, self.machines[seat].skew_ms));
        self.schedule_boot(at, 30);
        at
    }

    pub(crate) fn schedule(&mut self, after_ms: u64, event: Event) {
        self.order += 1;
        let at_ms = self.now_ms + after_ms;
        self.queue.push(Reverse(Queued { at_ms, order: self.order, event }));
    }

    pub(crate) fn schedule_boot(&mut self, at: usize, after_ms: u64) {
        if !std::mem::replace(&mut self.machines[at].booting, true) {
            self.schedule(after_ms, Event::Boot { at });
        }
    }

    /// Runs until `end_ms`, or until `done`, or until something is violated. Whether `done` came.
    pub(crate) fn run(&mut self, end_ms: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        while self.violation.is_none() {
            if done(self) {
                return true;
            }
            match self.queue.peek() {
                Some(Reverse(next)) if next.at_ms <= end_ms => {}
                _ => {
                    self.now_ms = self.now_ms.max(end_ms);
                    return done(self);
                }
            }
            if let Some(Reverse(next)) = self.queue.pop() {
                self.now_ms = self.now_ms.max(next.at_ms);
                self.handle(next.event);
            }
            if self.queue.len() > MAX_UNDER_WAY {
                self.violate(format!("storm: more than {MAX_UNDER_WAY} messages and timers are under way"));
            }
        }
        false
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrive { from, to, epoch, boot, bytes } => {
                if self.links.get(from, to).epoch != epoch || !self.is_alive(to, boot) {
                    return;
                }
                if self.put_off(to, |_| Event::Arrive { from, to, epoch, boot, bytes: bytes.clone() }) {
                    return;
                }
                if !self.let_in(to, &bytes) {
                    return;
                }
                let peer = self.seats[self.machines[from].seat].node_key;
                self.feed(to, Input::Message { peer, bytes });
            }
            Event::Input { to, boot, input } => {
                if self.is_alive(to, boot) {
                    self.feed(to, *input);
                }
            }
            Event::Timer { at, boot, id, due_ms } => {
                if !self.is_alive(at, boot) {
                    return;
                }
                let Some(running) = &mut self.machines[at].running else { return };
                if running.timers.get(&id) == Some(&due_ms) {
                    running.timers.remove(&id);
                    self.feed(at, Input::Timer(id));
                }
            }
            Event::Boot { at } => self.boot(at),
            Event::Dial { a, b } => self.dial(a, b),
            Event::HangUp { a, b, epoch } => self.hang_up(a, b, epoch),
            Event::Act { index } => self.act(index),
            Event::End { index, step } => self.end_act(index, step),
            Event::Clients => self.clients_act(),
            Event::Mischief { at } => self.mischief(at),
        }
    }

    fn let_in(&mut self, to: usize, bytes: &Bytes) -> bool {
        if !self.puppets.contains_key(&to) {
            return true;
        }
        let Some(view) = self.view(to) else { return false };
        self.puppets.get_mut(&to).is_some_and(|puppet| puppet.hear(bytes, view))
    }

    /// A slow machine takes its inputs later. True: put off.
    fn put_off(&mut self, at: usize, again: impl FnOnce(&Self) -> Event) -> bool {
        let machine = &mut self.machines[at];
        if machine.slow_ms == 0 {
            return false;
        }
        if self.now_ms < machine.busy_until_ms {
            let wait_ms = machine.busy_until_ms - self.now_ms;
            let event = again(self);
            self.schedule(wait_ms, event);
            return true;
        }
        machine.busy_until_ms = self.now_ms + machine.slow_ms;
        false
    }

    pub(crate) fn is_alive(&self, at: usize, boot: u32) -> bool {
        let machine = &self.machines[at];
        machine.running.is_some() && machine.boots == boot
    }

    /// Machines that run and are no puppets.
    pub(crate) fn honest_running(&self) -> Vec<usize> {
        (0..self.machines.len())
            .filter(|at| self.machines[*at].running.is_some() && !self.puppets.contains_key(at))
            .collect()
    }

    /// The height of a machine's chain.
    pub(crate) fn height(&self, at: usize) -> Option<u64> {
        self.machines[at].running.as_ref().map(|running| running.engine.tip().height())
    }

    pub(crate) fn violate(&mut self, what: String) {
        self.timeline.say(self.now_ms, || format!("VIOLATED: {what}"));
        self.violation.get_or_insert(what);
    }

    /// Transactions committed so far.
    pub(crate) fn committed_txs(&self) -> u64 {
        self.tally.get(Group::Work, "transactions committed")
    }

    /// What this run exercised so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    fn clients_act(&mut self) {
        let next_ms = self.dice.clients.between(self.plan.load_ms / 2, self.plan.load_ms * 3 / 2);
        self.schedule(next_ms.max(1), Event::Clients);
        let honest = self.honest_running();
        let best = honest.iter().copied().max_by_key(|at| self.height(*at));
        let Some(running) = best.and_then(|at| self.machines[at].running.as_ref()) else { return };
        let unix_ms = crate::seats::START_UNIX_MS + self.now_ms;
        self.clients.on_committed(|id| self.checks.is_committed(id));
        let rate = self.storming || !self.core.is_empty();
        let sent = self.clients.act(running.engine.ledger(), unix_ms, self.now_ms, rate);
        let takers: Vec<usize> = if self.core.is_empty() {
            honest
        } else {
            honest.into_iter().filter(|at| self.core.contains(&self.machines[*at].seat)).collect()
        };
        for (client, bytes) in sent {
            let Some(to) = self.dice.clients.pick(&takers).copied() else { continue };
            self.note_signature(&bytes);
            let token = self.next_token;
            self.next_token += 1;
            self.tokens.insert(token, client);
            self.tally.note(Group::Work, "transactions handed in");
            if self.clients.seat_of(client).is_none() {
                self.tally.note(Group::Byzantine, crate::behaviour::Behaviour::Swarm.name());
            }
            let boot = self.machines[to].boots;
            self.schedule(1, Event::Input { to, boot, input: Box::new(Input::Submit { token, bytes }) });
        }
    }
}
