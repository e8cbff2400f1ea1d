//! `/trust`, `/why`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use trustnet_ledger::Why;
use trustnet_ledger::crypto::Hash32;
use trustnet_ledger::trust::TrustView;

use super::nodes::NodeArgument;
use super::{Answer, CODE_BUSY, QueryError, argument, to_json};
use crate::node::NodeView;
use crate::rpc::error::RpcError;
use crate::rpc::state::Rpc;

/// How long a question about trust waits for the one before it.
const QUEUE_TIME: Duration = Duration::from_secs(5);

/// `/why`
pub fn why(view: &NodeView<'_>, argument: &NodeArgument) -> Result<Why, QueryError> {
    let index = argument.node.find(view)?;
    view.engine.ledger().why(index).ok_or_else(|| QueryError::unknown_node(&index.to_string()))
}

/// Which day.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Argument {
    /// UTC day since 1970; the chain's own when there is none.
    day: Option<u32>,
}

/// The answer of `/trust`.
#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    view: TrustView,
    checksum: Hash32,
}

impl Rpc {
    /// `/trust`: takes a snapshot on the engine's thread and computes elsewhere, one at a time.
    pub(super) async fn trust_of_day(&self, data: &[u8]) -> Result<Answer, RpcError> {
        let argument: Argument = match argument(data) {
            Ok(argument) => argument,
            Err(error) => return Ok((Err(error), self.ledger_height().await?)),
        };
        let Ok(Ok(place)) = timeout(QUEUE_TIME, Arc::clone(&self.trust).acquire_owned()).await else {
            let log = "this node is busy computing trust for others; try again in a second".to_owned();
            return Ok((Err(QueryError { code: CODE_BUSY, log }), self.ledger_height().await?));
        };
        let (input, height) = self
            .ask(move |view| {
                let ledger = view.engine.ledger();
                (ledger.trust_input(argument.day), ledger.height())
            })
            .await?;
        let computed = spawn_blocking(move || {
            let view = input.compute();
            let checksum = view.checksum();
            let text = to_json(&Checked { view, checksum });
            drop(place);
            text
        });
        let text = computed.await.map_err(|_| RpcError::Internal("computing trust failed".to_owned()))?;
        Ok((text, height))
    }
}
