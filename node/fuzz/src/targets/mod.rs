//! The targets.

use crate::Target;

pub mod bft;
pub mod disk;
pub mod engine;
pub mod files;
pub mod genesis;
pub mod ledger;
pub mod messages;
pub mod net;
pub mod proofs;
pub mod records;
pub mod registry;
pub mod rpc;
pub mod transactions;

/// All targets, those that find the most first.
pub const ALL: &[Target] = &[
    Target {
        name: "engine",
        about: "a replica's step: signed Byzantine messages, garbage, timers, blocks of others, crashes",
        max_bytes: 2_048,
        run: engine::run,
        seeds: engine::seeds,
    },
    Target {
        name: "ledger",
        about: "the ledger's begin, apply, finish and commit: blocks of arbitrary transactions",
        max_bytes: 2_048,
        run: ledger::run,
        seeds: ledger::seeds,
    },
    Target {
        name: "bft",
        about: "the consensus core: arbitrary events, crashes and silence, in two sizes at once",
        max_bytes: 1_024,
        run: bft::run,
        seeds: bft::seeds,
    },
    Target {
        name: "messages",
        about: "what engines send each other and store: messages, blocks, commits, sync, signer records",
        max_bytes: 4_096,
        run: messages::run,
        seeds: messages::seeds,
    },
    Target {
        name: "transactions",
        about: "signed transactions: decoding, shape, single and batched signature checks",
        max_bytes: 2_048,
        run: transactions::run,
        seeds: transactions::seeds,
    },
    Target {
        name: "net",
        about: "frames, greetings, peer records, peer exchange, the address book",
        max_bytes: 4_096,
        run: net::run,
        seeds: net::seeds,
    },
    Target {
        name: "rpc",
        about: "HTTP bodies and URIs against the RPC of a node with a chain",
        max_bytes: 4_096,
        run: rpc::run,
        seeds: rpc::seeds,
    },
    Target {
        name: "registry",
        about: "what clients, archives and files tell the registry: paths, headers, tokens, manifests, tars, settings",
        max_bytes: 4_096,
        run: registry::run,
        seeds: registry::seeds,
    },
    Target {
        name: "disk",
        about: "a data directory: power cuts, damaged bytes, then opening and reading it",
        max_bytes: 512,
        run: disk::run,
        seeds: disk::seeds,
    },
    Target {
        name: "records",
        about: "what is on the disk: log records, signer slots, the meta row, leaves of a checkpoint",
        max_bytes: 4_096,
        run: records::run,
        seeds: records::seeds,
    },
    Target {
        name: "proofs",
        about: "Merkle proofs of strangers: whatever verifies must be true",
        max_bytes: 1_024,
        run: proofs::run,
        seeds: proofs::seeds,
    },
    Target {
        name: "genesis",
        about: "genesis files, and the ledger that each gives",
        max_bytes: 4_096,
        run: genesis::run,
        seeds: genesis::seeds,
    },
    Target {
        name: "files",
        about: "texts of users: settings, keys, networks, ratings to import, addresses, ids",
        max_bytes: 2_048,
        run: files::run,
        seeds: files::seeds,
    },
];
