//! A small chain whose every key is known: four validators, a genesis, transactions, blocks and commits that hold.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use trustnet_bft as bft;
use trustnet_engine::block::{Block, Commit, vote_sign_bytes};
use trustnet_engine::chain::Chain;
use trustnet_engine::mempool::{Mempool, PoolTx};
use trustnet_engine::verifier::Verifier;
use trustnet_ledger::crypto::{Hash32, PublicKey, SecretKey, Signature};
use trustnet_ledger::signed::tx_sign_bytes;
use trustnet_ledger::{
    Action, Category, CategoryWeights, Genesis, GenesisValidator, KeyProof, KeyRole, NodeId, NodeKind,
    Params, SignedTransaction, Transaction, codec, node_id,
};

use crate::verdicts;

/// The chain's id.
pub const CHAIN_ID: &str = "fuzz";
/// Its validators.
pub const VALIDATORS: usize = 4;
/// Five minutes into an hour in 2026, Unix milliseconds: the genesis is a second older.
pub const START_MS: u64 = 1_795_000_000_000 / 3_600_000 * 3_600_000 + 300_000;
/// Judges all signatures of the chain.
pub static VERIFIER: LazyLock<Arc<dyn Verifier>> =
    LazyLock::new(|| Arc::new(verdicts::Remembering::default()));
/// Secret randomness of batch checks; no secret here.
pub const SEED: [u8; 32] = [9; 32];

/// The three keys of a validator.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Signs transactions.
    pub operator: SecretKey,
    /// Network identity.
    pub node: SecretKey,
    /// Signs votes.
    pub validator: SecretKey,
}

/// The validators' keys.
pub static KEYS: LazyLock<[Keys; VALIDATORS]> = LazyLock::new(|| {
    std::array::from_fn(|index| Keys {
        operator: secret(1, index as u8),
        node: secret(2, index as u8),
        validator: secret(3, index as u8),
    })
});

/// A key made of two small numbers.
pub fn secret(role: u8, index: u8) -> SecretKey {
    let mut seed = [role; 32];
    seed[0] = index;
    SecretKey::from_seed(&seed)
}

/// The genesis.
pub static GENESIS: LazyLock<Arc<Genesis>> = LazyLock::new(|| {
    let validator = |(index, keys): (usize, &Keys)| GenesisValidator {
        name: format!("node-{}", index + 1),
        owner: String::new(),
        operator: keys.operator.public(),
        node_key: keys.node.public(),
        validator_key: keys.validator.public(),
        power: 10,
    };
    Arc::new(Genesis {
        version: 1,
        chain_id: CHAIN_ID.into(),
        time_ms: START_MS - 1_000,
        validators: KEYS.iter().enumerate().map(validator).collect(),
        roots: Vec::new(),
        category_weights: CategoryWeights::default(),
        params: Params::default(),
    })
});

/// The id of a genesis validator.
pub fn validator_id(index: usize) -> NodeId {
    GENESIS.validator_id(&GENESIS.validators[index])
}

/// A signed transaction.
pub fn signed(signer: &SecretKey, nonce: u64, time_ms: u64, action: Action) -> SignedTransaction {
    let tx = Transaction { signer: signer.public(), nonce, time_ms, action };
    let signature = verdicts::sign(signer, &tx_sign_bytes(CHAIN_ID, &codec::encode(&tx)));
    SignedTransaction::from_parts(tx, signature)
}

/// Validator `from` rates validator `to`.
pub fn rating(from: usize, to: usize, nonce: u64, stars: u8) -> SignedTransaction {
    let action = Action::Rate {
        from: validator_id(from),
        to: validator_id(to),
        stars,
        category: Category::Honesty,
        reason: "answers".into(),
    };
    signed(&KEYS[from].operator, nonce, START_MS, action)
}

/// Registers a node of any kind, operated by key `index` of role 7. The id follows.
pub fn registration(name: &str, kind: NodeKind, index: u8, nonce: u64) -> (SignedTransaction, NodeId) {
    let operator = secret(7, index);
    let proof = |role: KeyRole, role_byte| {
        KeyProof::sign(&secret(role_byte, index), role, CHAIN_ID, &operator.public(), nonce, START_MS)
    };
    let action = Action::Register {
        name: name.into(),
        owner: "somebody".into(),
        kind,
        node_key: (kind != NodeKind::User).then(|| proof(KeyRole::Node, 8)),
        validator_key: (kind == NodeKind::Validator).then(|| proof(KeyRole::Validator, 9)),
    };
    (signed(&operator, nonce, START_MS, action), node_id(&operator.public(), START_MS, nonce))
}

/// The validators' voting keys: public, and the validator's number.
static VOTERS: LazyLock<Vec<PublicKey>> =
    LazyLock::new(|| KEYS.iter().map(|keys| keys.validator.public()).collect());

/// The secret voting key that belongs to a public one.
pub fn validator_secret(key: &PublicKey) -> Option<&'static SecretKey> {
    let index = VOTERS.iter().position(|voter| voter == key)?;
    Some(&KEYS[index].validator)
}

/// A vote's signature by the validator at `position` of `chain`.
pub fn sign_vote(chain: &Chain, vote: &bft::Vote) -> Option<Signature> {
    let (key, _) = chain.deciders().get(usize::from(vote.validator))?;
    Some(verdicts::sign(validator_secret(key)?, &vote_sign_bytes(CHAIN_ID, vote)))
}

/// The commit of a block by all of the validators whose bit is set in `who`.
pub fn commit(chain: &Chain, id: Hash32, round: u32, who: u8) -> Commit {
    let height = chain.next_height();
    let vote = |validator| bft::Vote {
        kind: bft::VoteKind::Precommit,
        height,
        round,
        value: Some(bft::ValueId(id.0)),
        validator,
    };
    let signatures = (0..VALIDATORS as u16)
        .filter(|position| who & (1 << position) != 0)
        .filter_map(|position| Some((position, sign_vote(chain, &vote(position))?)))
        .collect();
    Commit { height, round, block: id, signatures }
}

/// The first blocks of the chain: ratings among the validators, people and nodes of all kinds.
pub static HISTORY: LazyLock<Vec<(Block, Commit)>> = LazyLock::new(|| {
    let mut chain = new_chain();
    let kinds = [NodeKind::User, NodeKind::Service, NodeKind::Validator];
    let mut blocks = Vec::new();
    for height in 0..5_u8 {
        let mut txs: Vec<SignedTransaction> = (0..VALIDATORS)
            .map(|from| rating(from, (from + 1) % VALIDATORS, u64::from(height) + 1, 1 + height % 5))
            .collect();
        if let Some(kind) = kinds.get(usize::from(height)) {
            txs.push(registration(&format!("newcomer-{height}"), *kind, height, 1).0);
        }
        let block = next_block(&chain, &txs, START_MS + u64::from(height) * 1_000);
        let commit = commit(&chain, block.header.id(), 0, 0b1111);
        append(&mut chain, &block, &commit);
        blocks.push((block, commit));
    }
    blocks
});

/// The chain before its first block.
pub fn new_chain() -> Chain {
    Chain::genesis(&GENESIS, Arc::clone(&VERIFIER)).expect("the genesis holds")
}

/// A block of these transactions (those that apply) on top of `chain`.
pub fn next_block(chain: &Chain, txs: &[SignedTransaction], unix_ms: u64) -> Block {
    let mut pool = Mempool::default();
    for tx in txs {
        let bytes = Bytes::copy_from_slice(tx.bytes());
        let Ok(tx) = PoolTx::decode(&bytes) else { continue };
        let nonce = chain.ledger().nonce_of(&tx.signer());
        // What the pool refuses is left out, as a proposer would leave it out.
        let _ = pool.insert(Arc::new(tx), nonce, 0);
    }
    let proposer = chain.deciders()[0].0;
    chain.build(&pool, &[], proposer, unix_ms).block
}

/// Appends a block that is known to hold.
pub fn append(chain: &mut Chain, block: &Block, commit: &Commit) {
    let execution = chain.validate(block).expect("a block built on this chain holds");
    chain.append(block, commit, execution);
}
