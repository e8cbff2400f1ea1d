//! The genesis: what a chain starts from. Its hash is the chain's identity.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::calendar;
use crate::codec;
use crate::crypto::{Hash32, PublicKey, domain, hash};
use crate::ids::{NodeId, node_id};
use crate::params::Params;
use crate::shape;

/// Version of the genesis format.
pub const GENESIS_VERSION: u8 = 1;
/// The most validators that a chain can have.
pub const MAX_VALIDATORS: usize = 128;
/// All voting power together stays below this.
pub const MAX_TOTAL_POWER: u64 = 1 << 40;
/// The longest chain id, in bytes.
pub const MAX_CHAIN_ID_BYTES: usize = 50;
/// The most explicit roots.
pub const MAX_ROOTS: usize = 1_024;
/// The largest weight of a root: keeps the trust arithmetic within 64 bits.
pub const MAX_ROOT_WEIGHT: u64 = 1_000_000;
/// The largest weight of a category: keeps the trust arithmetic within 64 bits.
pub const MAX_CATEGORY_WEIGHT: u64 = 1_000_000;
/// Weight at the genesis of a root that no list names: every genesis validator.
pub const DEFAULT_ROOT_WEIGHT: u64 = 4;
/// The largest genesis file, in bytes.
pub const MAX_GENESIS_BYTES: usize = 1024 * 1024;
/// A genesis is dated before the year 10000.
const MAX_TIME_MS: u64 = 253_402_300_800_000;

/// What a chain starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// [`GENESIS_VERSION`].
    pub version: u8,
    /// The chain's name, up to 50 of `A-Z a-z 0-9 . _ -`; part of everything that is signed.
    pub chain_id: String,
    /// When the chain begins, Unix milliseconds.
    pub time_ms: u64,
    /// The first validators, 1 to 128.
    pub validators: Vec<GenesisValidator>,
    /// Where trust flows from. Empty: every genesis validator with weight 4.
    #[serde(default)]
    pub roots: Vec<Root>,
    /// How much each category counts in the trust score.
    #[serde(default)]
    pub category_weights: CategoryWeights,
    /// Intervals and amounts.
    #[serde(default)]
    pub params: Params,
}

/// A validator of the first hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisValidator {
    /// Its name, 1 to 32 of `a-z 0-9 . _ -`.
    pub name: String,
    /// Who runs it; up to 64 bytes.
    #[serde(default)]
    pub owner: String,
    /// The key that signs for it.
    pub operator: PublicKey,
    /// Its network identity.
    pub node_key: PublicKey,
    /// Its voting key.
    pub validator_key: PublicKey,
    /// Its voting power.
    pub power: u64,
}

/// A node that trust flows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Which node. It may register later; it counts once it has.
    pub node: RootRef,
    /// Its weight at the genesis; falls by 1 a year down to 1.
    pub weight: u64,
}

/// How the genesis names a root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RootRef {
    /// A node id, `0x` and 64 hex digits in the file.
    Id(NodeId),
    /// The name of a genesis validator.
    Name(String),
}

impl fmt::Display for RootRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// The wire form of [`RootRef`].
#[derive(Serialize, Deserialize)]
enum WireRootRef {
    Id(NodeId),
    Name(String),
}

impl Serialize for RootRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        match self.clone() {
            Self::Id(id) => WireRootRef::Id(id),
            Self::Name(name) => WireRootRef::Name(name),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RootRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            // No name is as long as an id.
            return Ok(text.parse().map_or(Self::Name(text), Self::Id));
        }
        Ok(match WireRootRef::deserialize(deserializer)? {
            WireRootRef::Id(id) => Self::Id(id),
            WireRootRef::Name(name) => Self::Name(name),
        })
    }
}

/// How much each category counts. A category with weight 0 is not looked at at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryWeights {
    /// Weight of reliability; 40 by default.
    pub reliability: u64,
    /// Weight of performance; 20 by default.
    pub performance: u64,
    /// Weight of honesty; 40 by default.
    pub honesty: u64,
}

impl Default for CategoryWeights {
    fn default() -> Self {
        Self { reliability: 40, performance: 20, honesty: 40 }
    }
}

impl CategoryWeights {
    /// The weights in the order of [`crate::rating::Category::ALL`].
    pub fn by_category(&self) -> [u64; 3] {
        [self.reliability, self.performance, self.honesty]
    }
}

/// Why a genesis is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The file is not the JSON of a genesis.
    #[error("genesis, line {line}, column {column}: {problem}; correct the file there")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser met.
        problem: String,
    },
    /// The file is too large to be a genesis.
    #[error("a genesis of {0} bytes is too large (1 MiB at most)")]
    TooLarge(usize),
    /// A field breaks a rule.
    #[error("genesis, {field}: {problem}")]
    Field {
        /// Which field, as a path.
        field: String,
        /// Which rule, and what would be right.
        problem: String,
    },
}

fn field(field: impl Into<String>, problem: impl Into<String>) -> GenesisError {
    GenesisError::Field { field: field.into(), problem: problem.into() }
}

impl Genesis {
    /// Reads and checks a genesis file.
    ///
    /// # Errors
    /// [`GenesisError`] naming the line or field and what would be right.
    pub fn from_json(text: &str) -> Result<Self, GenesisError> {
        if text.len() > MAX_GENESIS_BYTES {
            return Err(GenesisError::TooLarge(text.len()));
        }
        let genesis: Self = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let full = error.to_string();
            let place = format!(" at line {line} column {column}");
            let problem = full.strip_suffix(&place).unwrap_or(&full).to_owned();
            GenesisError::Json { line, column, problem }
        })?;
        genesis.validate()?;
        Ok(genesis)
    }

    /// The genesis as a file: indented JSON with a final newline.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a genesis holds only strings and numbers");
        text.push('\n');
        text
    }

    /// The chain's identity: a hash over the canonical encoding, so that spaces and the order of
    /// fields in the file do not matter.
    pub fn hash(&self) -> Hash32 {
        hash(domain::GENESIS, &[&codec::encode(self)])
    }

    /// The id of a genesis validator: its operator, the genesis time, nonce 0.
    pub fn validator_id(&self, validator: &GenesisValidator) -> NodeId {
        node_id(&validator.operator, self.time_ms, 0)
    }

    /// The roots with their weights at the genesis.
    pub(crate) fn root_weights(&self) -> Vec<(NodeId, u64)> {
        if self.roots.is_empty() {
            return self.validators.iter().map(|v| (self.validator_id(v), DEFAULT_ROOT_WEIGHT)).collect();
        }
        let resolve = |root: &Root| match &root.node {
            RootRef::Id(id) => Some((*id, root.weight)),
            RootRef::Name(name) => {
                let validator = self.validators.iter().find(|v| v.name == *name)?;
                Some((self.validator_id(validator), root.weight))
            }
        };
        self.roots.iter().filter_map(resolve).collect()
    }

    /// Checks every rule.
    ///
    /// # Errors
    /// [`GenesisError::Field`] for the first one broken.
    pub fn validate(&self) -> Result<(), GenesisError> {
        if self.version != GENESIS_VERSION {
            return Err(field("version", format!("{} is not known; this program reads 1", self.version)));
        }
        let id_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let id = &self.chain_id;
        if id.is_empty() || id.len() > MAX_CHAIN_ID_BYTES || !id.bytes().all(id_char) {
            return Err(field("chain_id", "must be 1 to 50 of A-Z a-z 0-9 . _ -"));
        }
        if self.time_ms >= MAX_TIME_MS {
            return Err(field("time_ms", "is Unix time in milliseconds, before the year 10000"));
        }
        if let Some(problem) = self.params.problem() {
            return Err(field("params", problem));
        }
        self.validate_validators()?;
        self.validate_roots()?;
        let weights = self.category_weights.by_category();
        if weights.iter().all(|w| *w == 0) || weights.iter().any(|w| *w > MAX_CATEGORY_WEIGHT) {
            return Err(field("category_weights", "each is 0 to 1000000, and one at least is above 0"));
        }
        Ok(())
    }

    fn validate_validators(&self) -> Result<(), GenesisError> {
        if self.validators.is_empty() || self.validators.len() > MAX_VALIDATORS {
            return Err(field("validators", "must be 1 to 128"));
        }
        let (mut names, mut operators, mut keys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut power = (MAX_VALIDATORS as u64).saturating_mul(self.params.new_validator_power);
        for (index, v) in self.validators.iter().enumerate() {
            let at = |name: &str| format!("validators[{index}].{name}");
            shape::check_name(&v.name).map_err(|e| field(at("name"), e.to_string()))?;
            shape::check_owner(&v.owner).map_err(|e| field(at("owner"), e.to_string()))?;
            if !names.insert(&v.name) {
                return Err(field(at("name"), format!("{:?} is used twice; names are unique", v.name)));
            }
            if !operators.insert(v.operator) {
                return Err(field(at("operator"), "runs another genesis validator; give each its own key"));
            }
            for (name, key) in
                [("operator", v.operator), ("node_key", v.node_key), ("validator_key", v.validator_key)]
            {
                if !key.is_acceptable() {
                    return Err(field(at(name), "is not an acceptable Ed25519 key; make a new one"));
                }
                if name != "operator" && !keys.insert(key) {
                    return Err(field(at(name), "is used twice; each node and role has its own key"));
                }
            }
            if v.power == 0 {
                return Err(field(at("power"), "must be at least 1"));
            }
            power = power.saturating_add(v.power);
        }
        if power >= MAX_TOTAL_POWER {
            return Err(field(
                "validators",
                "all power, with 128 times new_validator_power, must be below 2^40; use smaller numbers",
            ));
        }
        Ok(())
    }

    fn validate_roots(&self) -> Result<(), GenesisError> {
        if self.roots.len() > MAX_ROOTS {
            return Err(field("roots", "must be at most 1024"));
        }
        let mut seen = BTreeSet::new();
        for (index, root) in self.roots.iter().enumerate() {
            let at = |name: &str| format!("roots[{index}].{name}");
            let id = match &root.node {
                RootRef::Id(id) => *id,
                RootRef::Name(name) => {
                    let Some(validator) = self.validators.iter().find(|v| v.name == *name) else {
                        let problem = format!(
                            "{name:?} is neither the name of a genesis validator nor a node id (0x and 64 hex digits)"
                        );
                        return Err(field(at("node"), problem));
                    };
                    self.validator_id(validator)
                }
            };
            if !seen.insert(id) {
                return Err(field(at("node"), format!("{} is named twice", root.node)));
            }
            if !(1..=MAX_ROOT_WEIGHT).contains(&root.weight) {
                return Err(field(at("weight"), "must be 1 to 1000000"));
            }
        }
        Ok(())
    }
}

/// A root's weight on a day: it falls by 1 for every 365 days since the genesis, down to 1.
pub(crate) fn root_weight_on(weight: u64, genesis_ms: u64, day: u32) -> u64 {
    let years = u64::from(day.saturating_sub(calendar::day_of(genesis_ms))) / 365;
    weight.saturating_sub(years).max(1)
}

#[cfg(test)]
mod tests;
