//! Cost of a durable step.
fn main() {}
