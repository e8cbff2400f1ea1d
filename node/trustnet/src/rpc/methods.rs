//! The methods and the names of their arguments, in `CometBFT`'s order.

/// A method, to be matched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Name {
    AbciInfo,
    AbciQuery,
    Block,
    BlockByHash,
    Blockchain,
    BroadcastTxAsync,
    BroadcastTxCommit,
    BroadcastTxSync,
    Commit,
    ConsensusParams,
    ConsensusState,
    EthBlockNumber,
    EthChainId,
    Genesis,
    Header,
    HeaderByHash,
    Health,
    NetInfo,
    NetVersion,
    NumUnconfirmedTxs,
    Status,
    Tx,
    UnconfirmedTxs,
    Validators,
    Web3ClientVersion,
}

impl Name {
    /// Whether calls of it in one batch are carried out together: they only wait for the pool's verdict.
    pub fn is_broadcast(self) -> bool {
        matches!(self, Self::BroadcastTxSync | Self::BroadcastTxAsync)
    }
}

/// A method as clients call it.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// Its name on the wire.
    pub wire: &'static str,
    /// What to do.
    pub name: Name,
    /// Names of its arguments, in the order of a list.
    pub args: &'static [&'static str],
}

const fn method(wire: &'static str, name: Name, args: &'static [&'static str]) -> Method {
    Method { wire, name, args }
}

/// All methods, in alphabetical order.
pub static METHODS: [Method; 25] = [
    method("abci_info", Name::AbciInfo, &[]),
    method("abci_query", Name::AbciQuery, &["path", "data", "height", "prove"]),
    method("block", Name::Block, &["height"]),
    method("block_by_hash", Name::BlockByHash, &["hash"]),
    method("blockchain", Name::Blockchain, &["minHeight", "maxHeight"]),
    method("broadcast_tx_async", Name::BroadcastTxAsync, &["tx"]),
    method("broadcast_tx_commit", Name::BroadcastTxCommit, &["tx"]),
    method("broadcast_tx_sync", Name::BroadcastTxSync, &["tx"]),
    method("commit", Name::Commit, &["height"]),
    method("consensus_params", Name::ConsensusParams, &["height"]),
    method("consensus_state", Name::ConsensusState, &[]),
    method("eth_blockNumber", Name::EthBlockNumber, &[]),
    method("eth_chainId", Name::EthChainId, &[]),
    method("genesis", Name::Genesis, &[]),
    method("header", Name::Header, &["height"]),
    method("header_by_hash", Name::HeaderByHash, &["hash"]),
    method("health", Name::Health, &[]),
    method("net_info", Name::NetInfo, &[]),
    method("net_version", Name::NetVersion, &[]),
    method("num_unconfirmed_txs", Name::NumUnconfirmedTxs, &[]),
    method("status", Name::Status, &[]),
    method("tx", Name::Tx, &["hash", "prove"]),
    method("unconfirmed_txs", Name::UnconfirmedTxs, &["limit"]),
    method("validators", Name::Validators, &["height", "page", "per_page"]),
    method("web3_clientVersion", Name::Web3ClientVersion, &[]),
];

/// The method of this name.
pub fn find(wire: &str) -> Option<&'static Method> {
    METHODS.binary_search_by(|method| method.wire.cmp(wire)).ok().and_then(|place| METHODS.get(place))
}

/// The page that lists all methods, as `CometBFT` shows it to a browser; `host` is what the client wrote.
pub fn list_of_endpoints(host: &str) -> String {
    let host = escape(host);
    let link = |method: &Method, query: &str| {
        let target = format!("//{host}/{}{query}", method.wire);
        format!("<a href=\"{target}\">{target}</a></br>")
    };
    let mut page = String::from("<html><body><br>Available endpoints:<br>");
    for method in METHODS.iter().filter(|method| method.args.is_empty()) {
        page.push_str(&link(method, ""));
    }
    page.push_str("<br>Endpoints that require arguments:<br>");
    for method in METHODS.iter().filter(|method| !method.args.is_empty()) {
        let query: Vec<String> = method.args.iter().map(|arg| format!("{arg}=_")).collect();
        page.push_str(&link(method, &format!("?{}", query.join("&amp;"))));
    }
    page.push_str("</body></html>");
    page
}

/// What the client wrote must not become markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn methods_are_sorted_and_every_one_is_found() {
        assert!(METHODS.is_sorted_by(|a, b| a.wire < b.wire));
        for method in &METHODS {
            assert_eq!(find(method.wire).unwrap().name, method.name);
        }
        assert_eq!(find("Status"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn the_list_of_endpoints_has_every_method_and_no_markup_of_the_client() {
        let page = list_of_endpoints("a\"><script>");
        for method in &METHODS {
            assert!(page.contains(method.wire), "{}", method.wire);
        }
        assert!(page.contains("validators?height=_&amp;page=_&amp;per_page=_"));
        assert!(!page.contains("<script>"));
    }
}
