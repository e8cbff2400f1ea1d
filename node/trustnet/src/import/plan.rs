//! What a file means on the chain: who has to be registered, who rates whom, and what of it is missing.

use std::collections::{BTreeMap, HashMap};

use trustnet_ledger::crypto::{PublicKey, SecretKey};
use trustnet_ledger::{Action, Category, NodeId, NodeKind, SignedTransaction, Transaction, node_id};

use super::csv::Ratings;
use super::seed::ImportSeed;

/// The nonce of a registration: the first transaction of its person's key.
pub const REGISTRATION_NONCE: u64 = 1;

/// Somebody of the file.
#[derive(Clone, Debug)]
pub struct Person {
    /// The number in the file, which is also the node's name.
    pub number: u64,
    /// When the person first appears, in Unix milliseconds: the time of the registration.
    pub first_ms: u64,
    /// The line on which the person first appears.
    pub line: u32,
    /// The person's key.
    pub key: SecretKey,
    /// Its public half.
    pub public: PublicKey,
    /// The id that the registration gives on a chain that has never seen this key.
    pub id: NodeId,
}

/// One transaction to be, without nonce and signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// Register the person.
    Register,
    /// Rate somebody.
    Rate {
        /// Whom: place in [`Plan::people`].
        to: usize,
        /// 1 to 5.
        stars: u8,
        /// When, in Unix milliseconds.
        time_ms: u64,
        /// The line of the file.
        line: u32,
    },
}

/// Everything that a file says, by person.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The file's name, for messages.
    pub file: String,
    /// Everybody, by ascending number.
    pub people: Vec<Person>,
    /// What each person rates, in (time, source, target) order.
    ratings: Vec<Vec<Item>>,
}

/// What the chain knows about a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Nonce of its last transaction; 0: none yet.
    pub nonce: u64,
    /// The node registered with it.
    pub node: Option<NodeId>,
}

/// The current honesty ratings of a chain: stars and time in Unix milliseconds by (rater, rated).
pub type CurrentRatings = HashMap<(NodeId, NodeId), (u8, u64)>;

/// What one person still has to send.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Place in [`Plan::people`].
    pub person: usize,
    /// Nonce of the first transaction.
    pub first_nonce: u64,
    /// Whether the first transaction is the registration.
    pub registers: bool,
    /// The transactions, in order.
    pub items: Vec<Item>,
}

/// What is missing on a chain.
#[derive(Clone, Debug)]
pub struct Work {
    /// By person; only those who have something to send.
    pub lanes: Vec<Lane>,
    /// Ids of all people on this chain, as in [`Plan::people`].
    pub ids: Vec<NodeId>,
    /// Registrations that are there already.
    pub registered: usize,
    /// Ratings that are there already.
    pub rated: usize,
}

impl Plan {
    /// Derives keys and ids and sorts the ratings by rater.
    pub fn new(file: &Ratings, seed: &ImportSeed) -> Self {
        let people: Vec<Person> = file
            .people()
            .into_iter()
            .map(|(number, (first_ms, line))| {
                let key = seed.key_of(number);
                let public = key.public();
                let id = node_id(&public, first_ms, REGISTRATION_NONCE);
                Person { number, first_ms, line, key, public, id }
            })
            .collect();
        let place: BTreeMap<u64, usize> = people.iter().enumerate().map(|(i, p)| (p.number, i)).collect();
        let mut ratings = vec![Vec::new(); people.len()];
        for row in &file.rows {
            let to = place[&row.target];
            let item = Item::Rate { to, stars: row.stars(), time_ms: row.time_ms, line: row.line };
            ratings[place[&row.source]].push(item);
        }
        Self { file: file.file.clone(), people, ratings }
    }

    /// How many ratings the file holds.
    pub fn rating_count(&self) -> usize {
        self.ratings.iter().map(Vec::len).sum()
    }

    /// Everybody's public key, as in [`Plan::people`].
    pub fn keys(&self) -> Vec<PublicKey> {
        self.people.iter().map(|person| person.public).collect()
    }

    /// The id of the person with this number, on a chain that has never seen its key.
    pub fn id_of(&self, number: u64) -> Option<NodeId> {
        let place = self.people.binary_search_by_key(&number, |person| person.number).ok()?;
        Some(self.people[place].id)
    }

    /// What a chain lacks on which the accounts (as in [`Plan::people`]) and current ratings are these.
    ///
    /// A rating counts as present if the chain's current one for the same two people is the same, is a
    /// later one of the file, or is newer than the file's: sending it would bring back an old opinion.
    pub fn missing(&self, accounts: &[Account], current: &CurrentRatings) -> Work {
        let account = |person: usize| accounts.get(person).copied().unwrap_or_default();
        let ids: Vec<NodeId> = (0..self.people.len())
            .map(|person| {
                let Account { nonce, node } = account(person);
                let Person { public, first_ms, .. } = &self.people[person];
                node.unwrap_or_else(|| node_id(public, *first_ms, nonce + 1))
            })
            .collect();
        let mut work = Work { lanes: Vec::new(), ids, registered: 0, rated: 0 };
        for (person, ratings) in self.ratings.iter().enumerate() {
            let Account { nonce, node } = account(person);
            let registers = node.is_none();
            let mut items = Vec::new();
            if registers {
                items.push(Item::Register);
            } else {
                work.registered += 1;
            }
            let wanted =
                missing_ratings(ratings, |to| current.get(&(work.ids[person], work.ids[to])).copied());
            work.rated += ratings.len() - wanted.len();
            items.extend(wanted);
            if !items.is_empty() {
                work.lanes.push(Lane { person, first_nonce: nonce + 1, registers, items });
            }
        }
        work
    }

    /// The signed bytes of a lane's transaction.
    pub fn sign(&self, work: &Work, lane: &Lane, item: usize, chain_id: &str) -> Vec<u8> {
        let person = &self.people[lane.person];
        let (time_ms, action) = match lane.items[item] {
            Item::Register => {
                let name = person.number.to_string();
                let (owner, kind) = (String::new(), NodeKind::User);
                (person.first_ms, Action::Register { name, owner, kind, node_key: None, validator_key: None })
            }
            Item::Rate { to, stars, time_ms, .. } => {
                let (from, to) = (work.ids[lane.person], work.ids[to]);
                let (category, reason) = (Category::Honesty, String::new());
                (time_ms, Action::Rate { from, to, stars, category, reason })
            }
        };
        let tx =
            Transaction { signer: person.public, nonce: lane.first_nonce + item as u64, time_ms, action };
        SignedTransaction::sign(tx, &person.key, chain_id).encode()
    }

    /// What a transaction is about, for a message.
    pub fn describe(&self, lane: &Lane, item: usize) -> String {
        let person = &self.people[lane.person];
        let file = &self.file;
        match lane.items[item] {
            Item::Register => format!("{file}:{}: registering person {}", person.line, person.number),
            Item::Rate { to, stars, line, .. } => {
                let to = self.people[to].number;
                format!("{file}:{line}: person {} rates person {to} with {stars} stars", person.number)
            }
        }
    }
}

/// Of one person's ratings, in order, those that the chain lacks.
fn missing_ratings(ratings: &[Item], current: impl Fn(usize) -> Option<(u8, u64)>) -> Vec<Item> {
    // For each rated person: the last rating that is on the chain already.
    let mut matched: HashMap<usize, usize> = HashMap::new();
    for (index, item) in ratings.iter().enumerate() {
        if let Item::Rate { to, stars, time_ms, .. } = *item
            && current(to) == Some((stars, time_ms))
        {
            matched.insert(to, index);
        }
    }
    let is_missing = |(index, item): (usize, &Item)| {
        let Item::Rate { to, time_ms, .. } = *item else { return None };
        let there = match (matched.get(&to), current(to)) {
            (Some(&last), _) => index <= last,
            (None, Some((_, newest_ms))) => time_ms < newest_ms,
            (None, None) => false,
        };
        (!there).then_some(*item)
    };
    ratings.iter().enumerate().filter_map(is_missing).collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
