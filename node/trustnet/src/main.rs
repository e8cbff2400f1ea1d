//! The TrustNet program.
fn main() {}
