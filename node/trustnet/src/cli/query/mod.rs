//! `trustnet query`: ask the ledger.

mod chain;
mod node;
mod ratings;
mod trust;

use crate::cli::error::CliError;
use crate::cli::globals::Globals;

/// Ask the ledger
#[derive(Debug, clap::Args)]
pub struct QueryArgs {
    #[command(subcommand)]
    query: Query,
}

#[derive(Debug, clap::Subcommand)]
enum Query {
    /// Everything about one node
    Node(NodeArg),
    /// All nodes
    Nodes,
    /// A node's reputation and what it is made of
    Reputation(NodeArg),
    /// The ratings that a node received or gave
    Ratings(ratings::RatingsArgs),
    /// A block
    Block(chain::BlockArgs),
    /// A transaction
    Tx(chain::TxArgs),
    /// Everybody's trust score, of today or of an earlier day
    Trust(trust::TrustArgs),
}

/// A node, as an argument or as `--node`.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct NodeArg {
    /// The node, by name or id
    #[arg(value_name = "NODE")]
    positional: Option<String>,

    /// The node, by name or id
    #[arg(long = "node", value_name = "NODE")]
    flag: Option<String>,
}

impl NodeArg {
    fn name(&self) -> &str {
        self.positional.as_deref().or(self.flag.as_deref()).unwrap_or_default()
    }
}

/// Runs `trustnet query`.
///
/// # Errors
/// When what was asked for does not exist, or no node answers.
pub fn main(args: &QueryArgs, globals: &Globals) -> Result<(), CliError> {
    match &args.query {
        Query::Node(node) => node::node(node.name(), globals),
        Query::Nodes => node::nodes(globals),
        Query::Reputation(node) => node::reputation(node.name(), globals),
        Query::Ratings(args) => ratings::main(args, globals),
        Query::Block(args) => chain::block(args, globals),
        Query::Tx(args) => chain::tx(args, globals),
        Query::Trust(args) => trust::main(args, globals),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn a_node_is_named_by_position_or_by_flag_but_once() {
        let parse = |line: &str| crate::cli::Cli::try_parse_from(line.split(' '));
        for line in ["trustnet query reputation --node=node-1", "trustnet query reputation node-1"] {
            let cli = parse(line).map(|cli| cli.command);
            match cli {
                Ok(Some(crate::cli::Command::Query(QueryArgs { query: Query::Reputation(node) }))) => {
                    assert_eq!(node.name(), "node-1");
                }
                other => panic!("{line}: {other:?}"),
            }
        }
        assert!(parse("trustnet query node").is_err());
        assert!(parse("trustnet query node a --node b").is_err());
    }
}
