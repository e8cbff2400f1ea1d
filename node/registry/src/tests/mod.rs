//! Tests of the store: without a network, on files that fail where a test wants them to.

#![allow(clippy::unwrap_used)]

mod collect;
mod common;
mod crash;
mod damage;
mod evict;
mod logs;
mod memory;
mod metadata;
mod policy;
mod room;
