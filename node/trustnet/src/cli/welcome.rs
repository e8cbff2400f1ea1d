//! What `trustnet` alone prints: where to begin.

use crate::cli::error::CliError;
use crate::cli::globals::Globals;
use crate::output::Paint;

/// Prints the first steps.
///
/// # Errors
/// When standard output cannot be written.
pub fn main(globals: &Globals) -> Result<(), CliError> {
    let output = globals.output();
    let version = env!("CARGO_PKG_VERSION");
    output.either(&serde_json::json!({ "version": version }), |paint| welcome(version, paint))
}

fn welcome(version: &str, paint: Paint) -> String {
    let step = |command: &str, what: &str| format!("  {}{what}\n", paint.bold(&format!("{command:<42}")));
    [
        format!("TrustNet {version}: a network of home nodes that agree on whom to trust.\n\n"),
        "Start here:\n".to_owned(),
        step("trustnet up", "a whole network on this machine, in one command"),
        "\nThen, in another terminal:\n".to_owned(),
        step("trustnet status", "how the node is doing"),
        step("trustnet query trust", "everybody's trust score"),
        step("trustnet why node-1", "which ratings make up a score"),
        step("trustnet rate node-1 node-2 5 --reason ...", "say what you think"),
        "\nOne node of a larger network: trustnet init, then trustnet run.\n".to_owned(),
        "All commands: trustnet --help\n".to_owned(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_up_and_it_fits_a_terminal() {
        let text = welcome("1.2.3", Paint::OFF);
        assert!(text.contains("Start here:\n  trustnet up "), "{text}");
        assert!(text.lines().count() <= 16 && text.lines().all(|line| line.len() <= 100), "{text}");
    }
}
