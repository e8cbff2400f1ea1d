//! Tests of the client against a one-shot HTTP server with canned answers.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use super::*;

/// Answers one request with `body`; joins to the request's body.
fn server(status: &'static str, body: &str) -> (Client, JoinHandle<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::new(&listener.local_addr().unwrap().to_string()).unwrap();
    let body = body.to_owned();
    let handle = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut request = vec![0; length];
        reader.read_exact(&mut request).unwrap();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        reader.get_mut().write_all(format!("{head}{body}").as_bytes()).unwrap();
        serde_json::from_slice(&request).unwrap()
    });
    (client, handle)
}

#[test]
fn addresses_are_checked_and_completed() {
    for (given, url) in [
        ("127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://node-1.lan:26657/", "http://node-1.lan:26657"),
        ("tcp://[::1]:5", "http://[::1]:5"),
    ] {
        assert_eq!(Client::new(given).unwrap().url(), url);
    }
    for bad in ["https://x:1", "ftp://x", "", "http://", "a b:1"] {
        assert!(matches!(Client::new(bad), Err(ClientError::BadUrl { .. })), "{bad}");
    }
}

#[test]
fn a_closed_port_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = Client::new(&format!("127.0.0.1:{port}")).unwrap();
    let error = client.call("status", &json!({})).unwrap_err();
    assert_eq!(error.to_string(), format!("no node answers at http://127.0.0.1:{port}: connection refused"));
}

#[test]
fn a_query_sends_hex_json_and_reads_base64_json() {
    let value = BASE64.encode(r#"{"nonce":7}"#);
    let answer =
        json!({ "jsonrpc": "2.0", "id": 1, "result": { "response": { "code": 0, "value": value } } });
    let (client, handle) = server("200 OK", &answer.to_string());
    let account: Value = client.query("/account", &json!({ "key": "ab" })).unwrap();
    assert_eq!(account["nonce"], 7);
    let request = handle.join().unwrap();
    assert_eq!(request["method"], "abci_query");
    assert_eq!(request["params"]["path"], "/account");
    assert_eq!(request["params"]["data"], hex::encode(r#"{"key":"ab"}"#));
}

#[test]
fn a_refused_query_gives_the_ledgers_code_and_words() {
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"response":{"code":7,"log":"there is no node bob"}}}"#;
    let (client, _server) = server("200 OK", answer);
    let error = client.query::<Value>("/node", &json!({ "node": "bob" })).unwrap_err();
    assert_eq!(
        error,
        ClientError::Query { path: "/node".into(), code: 7, log: "there is no node bob".into() }
    );
}

#[test]
fn a_commit_reports_hash_height_and_refusals() {
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"check_tx":{"code":0},"tx_result":{"code":0},"hash":"AB","height":"42"}}"#;
    let (client, handle) = server("200 OK", answer);
    let done = client.broadcast_commit(b"tx").unwrap();
    assert_eq!(done, Broadcast { code: 0, log: String::new(), hash: "ab".into(), height: 42 });
    assert_eq!(handle.join().unwrap()["params"]["tx"], BASE64.encode(b"tx"));
    let answer = r#"{"id":1,"result":{"check_tx":{"code":4,"log":"nonce used"},"hash":"AB","height":"0"}}"#;
    let (client, _server) = server("200 OK", answer);
    let refused = client.broadcast_commit(b"tx").unwrap();
    assert_eq!((refused.code, refused.log.as_str()), (4, "nonce used"));
}

#[test]
fn a_batch_is_put_in_order_and_gaps_are_noticed() {
    let answer =
        r#"[{"id":2,"result":{"code":5,"log":"gap","hash":"C"}},{"id":0,"result":{"code":0,"hash":"A"}}]"#;
    let (client, _server) = server("200 OK", answer);
    let results = client.broadcast_sync_batch(&[vec![1], vec![2], vec![3]]).unwrap();
    assert_eq!(results[0].as_ref().unwrap().hash, "a");
    assert!(matches!(results[1], Err(ClientError::BadAnswer { .. })));
    assert_eq!(results[2].as_ref().unwrap().code, 5);
}

#[test]
fn errors_of_the_rpc_and_of_strangers_are_told_apart() {
    let answer = r#"{"id":1,"error":{"code":-32601,"message":"Method not found","data":"frob"}}"#;
    let (client, _server) = server("200 OK", answer);
    let error = client.call("frob", &json!({})).unwrap_err();
    assert_eq!(error.to_string(), "the node refused `frob`: Method not found: frob");
    let answer = r#"{"id":1,"error":{"code":-32603,"message":"Internal error","data":"tx (AB) not found"}}"#;
    let (client, _server) = server("200 OK", answer);
    let error = client.call("tx", &json!({})).unwrap_err();
    assert_eq!(error.to_string(), "the node refused `tx`: tx (AB) not found");
    for body in ["<html>", "{}"] {
        let (client, _server) = server("404 Not Found", body);
        let error = client.call("status", &json!({})).unwrap_err();
        assert!(matches!(error, ClientError::BadAnswer { .. }), "{error}");
    }
}
