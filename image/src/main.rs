//! `trustnet-image`: builds, flashes, inspects; runs VMs.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
