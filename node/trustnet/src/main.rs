//! The `trustnet` program. One binary, several names: see [`trustnet::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    trustnet::cli::install_panic_message();
    trustnet::cli::main(std::env::args_os()).into()
}
