//! People and programs that use the network: operators who rate, validators who join and leave, and a hostile
//! swarm. A client signs in order, hands its transaction to some machine, and hands the same bytes to another
//! one until it is committed.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use trustnet_engine::io::SubmitError;
use trustnet_ledger::crypto::{Hash32, PublicKey, SecretKey};
use trustnet_ledger::ids::NodeId;
use trustnet_ledger::ledger::Ledger;
use trustnet_ledger::node::{NodeKind, NodeStatus as Status};
use trustnet_ledger::rating::Category;
use trustnet_ledger::signed::SignedTransaction;
use trustnet_ledger::tx::{Action, KeyProof, KeyRole, Transaction};
use trustnet_ledger::tx_error::TxError;

use crate::dice::Dice;
use crate::seats::{CHAIN_ID, Seat, name};

/// Transactions that a client lets wait at a time.
const MAX_WAITING: usize = 4;
/// A client that has waited this long tries another machine, milliseconds.
const RETRY_MS: u64 = 2_000;
/// Users of a hostile swarm.
const SWARM_USERS: usize = 8;

/// A transaction that a client wants committed.
pub struct Wanted {
    /// Its id.
    pub id: Hash32,
    nonce: u64,
    /// Its bytes.
    pub bytes: Bytes,
    /// When it was last handed in.
    pub sent_ms: u64,
}

/// Somebody with a key.
pub struct Client {
    key: SecretKey,
    public: PublicKey,
    /// Whose operator, if a seat's.
    seat: Option<usize>,
    nonce: u64,
    /// What it waits for, in order.
    pub waiting: VecDeque<Wanted>,
    stale: bool,
}

/// All clients of a run.
pub struct Clients {
    /// The clients: operators by seat, then the swarm.
    pub all: Vec<Client>,
    seats: Vec<Seat>,
    ids: Vec<NodeId>,
    dice: Dice,
    /// Seats that want to join.
    pub joining: BTreeSet<usize>,
    /// Seats that want to leave.
    pub leaving: BTreeSet<usize>,
    /// Seats that want to come back.
    pub returning: BTreeSet<usize>,
    consents: BTreeSet<(usize, usize)>,
    swarm: bool,
}

impl Clients {
    /// The operators of `seats`; `ids` are the genesis nodes. `swarm`: hostile users too.
    pub fn new(seats: &[Seat], ids: Vec<NodeId>, swarm: bool, dice: Dice) -> Self {
        let client = |key: &SecretKey, seat| Client {
            public: key.public(),
            key: key.clone(),
            seat,
            nonce: 0,
            waiting: VecDeque::new(),
            stale: false,
        };
        let mut all: Vec<Client> =
            seats.iter().enumerate().map(|(index, seat)| client(&seat.operator, Some(index))).collect();
        if swarm {
            all.extend((0..SWARM_USERS).map(|index| client(&Seat::new(10_000 + index).operator, None)));
        }
        Self {
            all,
            seats: seats.to_vec(),
            ids,
            dice,
            joining: BTreeSet::new(),
            leaving: BTreeSet::new(),
            returning: BTreeSet::new(),
            consents: BTreeSet::new(),
            swarm,
        }
    }

    /// What clients hand in now: the client, and the bytes.
    pub fn act(&mut self, ledger: &Ledger, unix_ms: u64, now_ms: u64, rate: bool) -> Vec<(usize, Bytes)> {
        let mut sent = Vec::new();
        for (index, client) in self.all.iter_mut().enumerate() {
            // Another transaction took the place of the first, which was given up and ran all the same.
            let spent = ledger.nonce_of(&client.public);
            client.stale |= client.waiting.front().is_some_and(|wanted| wanted.nonce <= spent);
            if client.stale {
                // Something before these was refused: none of them can run any more.
                client.waiting.clear();
                client.nonce = spent;
                client.stale = false;
            }
            for wanted in &mut client.waiting {
                if now_ms >= wanted.sent_ms + RETRY_MS {
                    wanted.sent_ms = now_ms;
                    sent.push((index, wanted.bytes.clone()));
                }
            }
        }
        if rate {
            let operators = self.seats.len();
            let from = self.dice.below(operators);
            if let Some(action) = self.rating(from, ledger) {
                self.sign(from, action, unix_ms, now_ms, &mut sent);
            }
            if self.swarm {
                let user = operators + self.dice.below(SWARM_USERS);
                let action = self.swarm_action(user, ledger);
                self.sign(user, action, unix_ms, now_ms, &mut sent);
            }
        }
        for (index, action) in self.wishes(ledger, unix_ms) {
            if self.all[index].waiting.is_empty() {
                self.sign(index, action, unix_ms, now_ms, &mut sent);
            }
        }
        sent
    }

    fn rating(&mut self, from: usize, ledger: &Ledger) -> Option<Action> {
        let rater = *self.ids.get(from)?;
        let active = |id: &NodeId| ledger.node_by_id(id).is_some_and(|node| node.status == Status::Active);
        let rated: Vec<NodeId> = self.ids.iter().filter(|id| **id != rater && active(id)).copied().collect();
        let to = *self.dice.pick(&rated)?;
        active(&rater).then(|| Action::Rate {
            from: rater,
            to,
            stars: self.dice.between(1, 5) as u8,
            category: [Category::Reliability, Category::Performance, Category::Honesty][self.dice.below(3)],
            reason: String::new(),
        })
    }

    fn swarm_action(&mut self, user: usize, ledger: &Ledger) -> Action {
        let name = format!("swarm-{user}");
        match (ledger.node_by_name(&name), self.ids.first()) {
            (Some(own), Some(victim)) => Action::Rate {
                from: own.id,
                to: *victim,
                stars: 1,
                category: Category::Honesty,
                reason: "swarm".into(),
            },
            _ => Action::Register {
                name,
                owner: String::new(),
                kind: NodeKind::User,
                node_key: None,
                validator_key: None,
            },
        }
    }

    /// What those who join, leave or return need next.
    fn wishes(&mut self, ledger: &Ledger, unix_ms: u64) -> Vec<(usize, Action)> {
        let mut wishes = Vec::new();
        for seat in self.joining.clone() {
            let Some(node) = ledger.node_by_name(&name(seat)) else {
                wishes.push((seat, self.registration(seat, unix_ms)));
                continue;
            };
            match node.status {
                Status::Pending => {
                    for (voter, id) in self.ids.iter().enumerate() {
                        let votes = ledger.node_by_id(id).is_some_and(|node| node.status == Status::Active);
                        if votes && self.consents.insert((seat, voter)) {
                            wishes.push((voter, Action::Admit { node: node.id, validator: *id }));
                        }
                    }
                }
                Status::Initializing => wishes.push((seat, Action::Ready { node: node.id })),
                _ => {
                    self.joining.remove(&seat);
                }
            }
        }
        for (leave, seats) in [(true, self.leaving.clone()), (false, self.returning.clone())] {
            for seat in seats {
                let Some(node) = self.ids.get(seat).and_then(|id| ledger.node_by_id(id)) else { continue };
                match (leave, node.status) {
                    (true, Status::Active) => wishes.push((seat, Action::Pause { node: node.id })),
                    (false, Status::Inactive) => wishes.push((seat, Action::Resume { node: node.id })),
                    (true, _) => {
                        self.leaving.remove(&seat);
                    }
                    (false, _) => {
                        self.returning.remove(&seat);
                    }
                }
            }
        }
        wishes
    }

    fn registration(&self, seat: usize, unix_ms: u64) -> Action {
        let (keys, client) = (&self.seats[seat], &self.all[seat]);
        let (nonce, time_ms) = (client.nonce + 1, sign_time_ms(unix_ms));
        let prove = |key, role| Some(KeyProof::sign(key, role, CHAIN_ID, &keys.operator_key, nonce, time_ms));
        Action::Register {
            name: name(seat),
            owner: String::new(),
            kind: NodeKind::Validator,
            node_key: prove(&keys.node, KeyRole::Node),
            validator_key: prove(&keys.validator, KeyRole::Validator),
        }
    }

    fn sign(
        &mut self,
        index: usize,
        action: Action,
        unix_ms: u64,
        now_ms: u64,
        sent: &mut Vec<(usize, Bytes)>,
    ) {
        let client = &mut self.all[index];
        if client.waiting.len() >= MAX_WAITING || client.stale {
            return;
        }
        client.nonce += 1;
        let tx = Transaction {
            signer: client.public,
            nonce: client.nonce,
            time_ms: sign_time_ms(unix_ms),
            action,
        };
        let tx = SignedTransaction::sign(tx, &client.key, CHAIN_ID);
        let bytes = Bytes::copy_from_slice(tx.bytes());
        client.waiting.push_back(Wanted {
            id: tx.id(),
            nonce: client.nonce,
            bytes: bytes.clone(),
            sent_ms: now_ms,
        });
        sent.push((index, bytes));
    }

    /// A machine answered a client.
    pub fn on_answer(&mut self, index: usize, result: &Result<Hash32, SubmitError>) {
        let Err(SubmitError::Refused(error)) = result else { return };
        if !matches!(
            error,
            TxError::NonceGap { .. } | TxError::FutureDated { .. } | TxError::NonceUsed { .. }
        ) {
            self.all[index].stale = true;
        }
    }

    /// Forgets what has been committed.
    pub fn on_committed(&mut self, is_committed: impl Fn(&Hash32) -> bool) {
        for client in &mut self.all {
            client.waiting.retain(|wanted| !is_committed(&wanted.id));
        }
    }

    /// How many transactions wait.
    pub fn waiting(&self) -> usize {
        self.all.iter().map(|client| client.waiting.len()).sum()
    }

    /// The next nonce and the key of a seat's operator.
    pub fn operator(&self, seat: usize) -> (PublicKey, u64) {
        (self.all[seat].public, self.all[seat].nonce + 1)
    }

    /// Whether a client is a seat's operator.
    pub fn seat_of(&self, index: usize) -> Option<usize> {
        self.all[index].seat
    }
}

/// A client's clock runs a little late, so that blocks are not before its transactions.
fn sign_time_ms(unix_ms: u64) -> u64 {
    unix_ms.saturating_sub(3_000)
}
