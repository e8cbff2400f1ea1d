//! Everything that goes into the engine and comes out of it.
//!
//! The shell carries outputs out in order. [`Output::Persist`] is a barrier: no later output may be
//! carried out before its bytes are durable.

use std::sync::Arc;

use bytes::Bytes;
use trustnet_bft as bft;
use trustnet_ledger::crypto::{Hash32, PublicKey, SignatureCheck};
use trustnet_ledger::tx_error::TxError;

use crate::block::CommittedBlock;
use crate::mempool::PoolError;
use crate::message::{Message, SyncRequest};
use crate::uptime::Misbehaviour;

/// The two clocks of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never jumps; its zero means nothing.
    pub mono_ms: u64,
    /// Milliseconds since 1970; may jump, may be wrong.
    pub unix_ms: u64,
}

/// A timer; setting one again replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerId {
    /// A timeout of Algorithm 1.
    Consensus {
        /// Height.
        height: u64,
        /// Round.
        round: u32,
        /// 0 propose, 1 prevote, 2 precommit.
        step: u8,
    },
    /// The earliest moment for the next block.
    Pace,
    /// Tell neighbours what is held of the undecided round.
    Repair,
    /// Look again whether blocks must be fetched.
    Sync,
    /// Send a heartbeat.
    Heartbeat,
    /// Attest the epoch that has ended, or stop waiting for others' attestations.
    Attest,
    /// Offer waiting transactions to the leaders again.
    Regossip,
    /// Stop waiting for what others saw of this validator.
    Listen,
}

/// What happens to the engine.
#[derive(Debug)]
pub enum Input {
    /// A connection to a peer is up.
    PeerUp(PublicKey),
    /// It is gone.
    PeerDown(PublicKey),
    /// A peer sent a message.
    Message {
        /// The peer's node key.
        peer: PublicKey,
        /// The message as received.
        bytes: Bytes,
    },
    /// A peer asks for blocks.
    SyncRequest {
        /// The peer.
        peer: PublicKey,
        /// The request as received.
        bytes: Bytes,
        /// For the answer.
        token: u64,
    },
    /// A peer answered (or did not answer) a request for blocks.
    SyncResponse {
        /// The peer.
        peer: PublicKey,
        /// The tag of the request.
        tag: u64,
        /// The answer as received; `None` when there was none.
        bytes: Option<Bytes>,
    },
    /// A timer fired.
    Timer(TimerId),
    /// A client of this node hands in a transaction.
    Submit {
        /// For the answer.
        token: u64,
        /// The signed transaction.
        bytes: Bytes,
    },
    /// The signatures of a job were checked.
    Verified {
        /// The job.
        job: u64,
        /// One result for each check.
        results: Vec<bool>,
    },
    /// The shell's queue of inputs is empty: send what was gathered.
    Flush,
}

/// What must be on disk before anything later leaves the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Persist {
    /// What this validator has signed.
    Signer(Vec<u8>),
    /// The same, together with the block that a precommit of it is for.
    SignerWithBlock {
        /// The signer record.
        record: Vec<u8>,
        /// Height of the block.
        height: u64,
        /// Its id.
        id: Hash32,
        /// The block.
        block: Bytes,
    },
}

/// Leaves of the state that a block changed; `None` deletes.
pub type Leaves = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// A block has become final.
#[derive(Clone, Debug)]
pub struct Final {
    /// The block and its commit.
    pub committed: Arc<CommittedBlock>,
    /// Its encoding.
    pub bytes: Bytes,
    /// Whether the block is in the log already (it went there with a precommit).
    pub stored: bool,
    /// The ids of its transactions.
    pub tx_ids: Vec<Hash32>,
    /// What it changed in the state.
    pub leaves: Leaves,
}

/// Why a transaction was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The ledger would refuse it.
    #[error(transparent)]
    Refused(#[from] TxError),
    /// The pool did not take it.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// What the engine wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Make durable before going on.
    Persist(Persist),
    /// Send to one peer.
    Send(PublicKey, Message),
    /// Send to every connected peer, but one.
    Broadcast(Message, Option<PublicKey>),
    /// Ask a peer for blocks.
    Request {
        /// The peer.
        peer: PublicKey,
        /// What to ask.
        request: SyncRequest,
        /// Comes back with the answer.
        tag: u64,
    },
    /// Answer a peer's request with committed blocks from `from` on.
    ServeBlocks {
        /// The request's token.
        token: u64,
        /// What was asked, within limits.
        request: SyncRequest,
    },
    /// Set a timer.
    SetTimer(TimerId, u64),
    /// Check signatures on another core; answered by [`Input::Verified`].
    Verify {
        /// Names the job.
        job: u64,
        /// The signatures.
        checks: Vec<SignatureCheck>,
    },
    /// A block has become final: append what is not stored, remember the leaves, tell the clients.
    Final(Box<Final>),
    /// What became of a client's transaction.
    Submitted {
        /// The client's token.
        token: u64,
        /// Its id, or why it was not taken.
        result: Result<Hash32, SubmitError>,
    },
    /// A peer misbehaved; the points are a penalty.
    Punish {
        /// The peer.
        peer: PublicKey,
        /// Points off its score.
        points: i32,
        /// Why.
        reason: &'static str,
    },
    /// The validators have changed: these node keys are reserved places.
    Validators(Vec<PublicKey>),
    /// This node must stop: its own state contradicts what the network agreed, or it would sign twice.
    Halt(String),
}

/// Timer of a core timeout.
pub fn consensus_timer(timeout: bft::Timeout) -> TimerId {
    let step = match timeout.step {
        bft::Step::Propose => 0,
        bft::Step::Prevote => 1,
        bft::Step::Precommit => 2,
    };
    TimerId::Consensus { height: timeout.height, round: timeout.round, step }
}

/// Points for a fault.
pub fn penalty(what: Misbehaviour) -> i32 {
    match what {
        Misbehaviour::InvalidTransaction => 20,
        Misbehaviour::NetworkAbuse => 100,
    }
}
