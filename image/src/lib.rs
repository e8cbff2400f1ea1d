//! Builds the images of `TrustNet`: rootless, from pinned inputs, the same bytes every time.

#![allow(clippy::format_collect, clippy::format_push_string, reason = "short texts, made once an image")]

pub mod alpine;
pub mod archive;
pub mod base;
pub mod base_debian;
pub mod boot;
pub mod build;
pub mod cache;
pub mod crates;
pub mod deb;
pub mod debian;
pub mod elf;
pub mod extent;
pub mod fat;
pub mod files;
pub mod flash;
pub mod inputs;
pub mod lock;
pub mod modules;
pub mod outputs;
pub mod parts;
pub mod screen;
pub mod sign;
pub mod squash;
pub mod tree;
pub mod vm;
