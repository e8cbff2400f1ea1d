//! The server over real sockets, with calls that answer from nothing.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Barrier, Notify};

use super::*;
use crate::rpc::error::RpcError;
use crate::rpc::http::{Caller, Reply};
use crate::rpc::limits::{MAX_QUERY_BYTES, RpcLimits, SMALL_BODY_BYTES};
use crate::rpc::methods::Name;

/// Time after which a test has failed rather than waits.
const PATIENCE: Duration = Duration::from_secs(20);

fn echo() -> Caller {
    Arc::new(|method, args| {
        Box::pin(async move {
            match method.name {
                Name::Block => match args.int("height")? {
                    Some(height) if height <= 0 => {
                        Err(RpcError::Internal(format!("height must be greater than 0, but got {height}")))
                    }
                    height => Ok(Reply { value: json!({ "height": height }), immutable: height.is_some() }),
                },
                Name::BroadcastTxSync => Ok(Reply::now(json!({ "bytes": args.base64("tx")?.len() }))),
                Name::Genesis => Ok(Reply::now(Value::String("x".repeat(1_000)))),
                _ => Ok(Reply::now(json!({}))),
            }
        })
    })
}

async fn start(caller: Caller, limits: RpcLimits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(serve_http(listener, Arc::new(Http::new(caller, limits))));
    addr
}

/// Sends raw bytes and reads until the server closes.
async fn raw(addr: SocketAddr, request: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap()
}

async fn get(addr: SocketAddr, target: &str) -> (u16, String, String) {
    split(
        &raw(addr, format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes()).await,
    )
}

async fn post(addr: SocketAddr, body: &str) -> (u16, String, String) {
    let head =
        format!("POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    split(&raw(addr, format!("{head}{body}").as_bytes()).await)
}

/// Status, head in small letters, body.
fn split(answer: &str) -> (u16, String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn a_uri_call_has_id_minus_one_and_its_errors_have_status_500() {
    let addr = start(echo(), RpcLimits::default()).await;
    let (status, head, body) = get(addr, "/block?height=5").await;
    assert_eq!((status, body.as_str()), (200, r#"{"jsonrpc":"2.0","id":-1,"result":{"height":5}}"#));
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("cache-control: public, max-age=86400"), "{head}");
    let (status, head, body) = get(addr, "/block?height=0").await;
    assert_eq!(status, 500);
    assert_eq!(
        body,
        r#"{"jsonrpc":"2.0","id":-1,"error":{"code":-32603,"message":"Internal error","data":"height must be greater than 0, but got 0"}}"#
    );
    assert!(!head.contains("cache-control"), "{head}");
    assert_eq!(get(addr, "/block?height=x").await.0, 500);
    assert_eq!(get(addr, "/block").await.2, r#"{"jsonrpc":"2.0","id":-1,"result":{"height":null}}"#);
    let (status, _, body) = get(addr, "/broadcast_tx_sync?tx=0x747830").await;
    assert_eq!((status, body.contains(r#""bytes":3"#)), (200, true));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let addr = start(echo(), RpcLimits::default()).await;
    for target in ["/nope", "/block/", "/websocket", "//", "/Status"] {
        let (status, _, body) = get(addr, target).await;
        assert_eq!((status, body.as_str()), (404, "404 page not found\n"), "{target}");
    }
}

#[tokio::test]
async fn the_root_lists_the_endpoints() {
    let addr = start(echo(), RpcLimits::default()).await;
    let (status, head, body) = get(addr, "/").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/html"));
    assert!(body.contains("//h/validators?height=_"), "{body}");
}

#[tokio::test]
async fn a_posted_call_is_answered_with_its_id_and_errors_have_status_200() {
    let addr = start(echo(), RpcLimits::default()).await;
    let (status, _, body) = post(addr, r#"{"jsonrpc":"2.0","id":"a","method":"health","params":{}}"#).await;
    assert_eq!((status, body.as_str()), (200, r#"{"jsonrpc":"2.0","id":"a","result":{}}"#));
    let (status, _, body) = post(addr, r#"{"id":1,"method":"block","params":["0"]}"#).await;
    assert_eq!((status, body.contains("-32603")), (200, true));
    let (status, _, body) = post(addr, r#"{"id":1,"method":"nope"}"#).await;
    assert_eq!((status, body.contains("-32601")), (200, true));
    let (status, _, body) = post(addr, r#"{"id":1,"method":"block","params":{"height":"x"}}"#).await;
    assert_eq!((status, body.contains("-32602")), (200, true));
    let (status, _, body) = post(addr, "nonsense").await;
    assert_eq!((status, body.contains("-32700")), (500, true));
    let (status, _, body) = post(addr, r#"{"method":"health"}"#).await;
    assert_eq!((status, body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order_and_one_element_stays_a_list() {
    let addr = start(echo(), RpcLimits::default()).await;
    let batch = r#"[{"id":1,"method":"block","params":["7"]},{"method":"health"},5,{"id":2,"method":"nope"},
        {"id":3,"method":"broadcast_tx_sync","params":{"tx":"dHgw"}},{"id":4,"method":"broadcast_tx_sync"}]"#;
    let (status, _, body) = post(addr, batch).await;
    assert_eq!(status, 200);
    let answers: Vec<Value> = serde_json::from_str(&body).unwrap();
    assert_eq!(answers.len(), 5);
    assert_eq!(answers[0]["result"]["height"], 7);
    assert_eq!((&answers[1]["id"], &answers[1]["error"]["code"]), (&Value::Null, &json!(-32_600)));
    assert_eq!((&answers[2]["id"], &answers[2]["error"]["code"]), (&json!(2), &json!(-32_601)));
    assert_eq!((&answers[3]["id"], &answers[3]["result"]["bytes"]), (&json!(3), &json!(3)));
    assert_eq!(answers[4]["result"]["bytes"], 0);
    let (_, head, body) = post(addr, r#"[{"id":1,"method":"block","params":["7"]}]"#).await;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&body).unwrap().len(), 1);
    assert!(head.contains("cache-control"), "all of it is immutable");
}

#[tokio::test]
async fn a_batch_over_its_limits_is_refused_or_cut_but_every_call_is_answered() {
    let limits = RpcLimits { max_batch: 8, max_answer_bytes: 3_000, ..RpcLimits::default() };
    let addr = start(echo(), limits).await;
    let batch = |count: usize| {
        let calls: Vec<String> =
            (0..count).map(|id| format!(r#"{{"id":{id},"method":"genesis"}}"#)).collect();
        format!("[{}]", calls.join(","))
    };
    let (status, _, body) = post(addr, &batch(9)).await;
    assert_eq!((status, body.contains("exceeds maximum (8)")), (200, true));
    let (_, _, body) = post(addr, &batch(8)).await;
    let answers: Vec<Value> = serde_json::from_str(&body).unwrap();
    let good = answers.iter().filter(|answer| answer.get("result").is_some()).count();
    let cut = answers.iter().filter(|answer| answer["error"]["code"] == -32_000).count();
    assert_eq!((answers.len(), good, cut), (8, 2, 6));
}

#[tokio::test]
async fn broadcasts_of_a_batch_are_carried_out_together() {
    // Each call waits until all three have begun: one by one they would never end.
    let barrier = Arc::new(Barrier::new(3));
    let caller: Caller = Arc::new(move |_, _| {
        let barrier = Arc::clone(&barrier);
        Box::pin(async move {
            barrier.wait().await;
            Ok(Reply::now(json!({})))
        })
    });
    let addr = start(caller, RpcLimits::default()).await;
    let call = |id: u8| format!(r#"{{"id":{id},"method":"broadcast_tx_sync","params":{{"tx":""}}}}"#);
    let (status, _, body) = post(addr, &format!("[{},{},{}]", call(1), call(2), call(3))).await;
    assert_eq!((status, serde_json::from_str::<Vec<Value>>(&body).unwrap().len()), (200, 3));
}

#[tokio::test]
async fn a_batch_that_takes_too_long_is_answered_with_errors() {
    let caller: Caller = Arc::new(|_, _| Box::pin(std::future::pending()));
    let limits = RpcLimits { batch_time: Duration::from_millis(50), ..RpcLimits::default() };
    let addr = start(caller, limits).await;
    let (status, _, body) = post(addr, r#"[{"id":1,"method":"health"},{"id":2,"method":"tx"}]"#).await;
    assert_eq!((status, body.matches("takes too long").count()), (200, 2));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_announced_or_not() {
    let limits = RpcLimits { max_body_bytes: 2 * SMALL_BODY_BYTES, ..RpcLimits::default() };
    let addr = start(echo(), limits).await;
    let big = "x".repeat(2 * SMALL_BODY_BYTES + 1);
    let (status, _, body) = post(addr, &big).await;
    assert_eq!((status, body.contains("-32600")), (400, true), "{body}");
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{big}\r\n0\r\n\r\n",
        big.len()
    );
    assert_eq!(split(&raw(addr, chunked.as_bytes()).await).0, 400);
    let fits = format!(r#"{{"id":1,"method":"health","params":{{"x":"{}"}}}}"#, "x".repeat(SMALL_BODY_BYTES));
    assert_eq!(post(addr, &fits).await.0, 200);
}

#[tokio::test]
async fn a_query_over_the_limit_is_refused() {
    let addr = start(echo(), RpcLimits::default()).await;
    let (status, _, body) = get(addr, &format!("/block?height={}", "1".repeat(MAX_QUERY_BYTES))).await;
    assert_eq!((status, body.contains("send the call as POST")), (500, true));
}

#[tokio::test]
async fn what_is_not_http_gets_an_end() {
    let addr = start(echo(), RpcLimits::default()).await;
    for garbage in
        [&b"\x00\xff\x16\x03\x01garbage\r\n\r\n"[..], b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let answer = raw(addr, garbage).await;
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    assert_eq!(get(addr, "/health").await.0, 200);
}

#[tokio::test]
async fn a_head_that_drips_in_is_cut_off() {
    let limits = RpcLimits { request_time: Duration::from_millis(200), ..RpcLimits::default() };
    let addr = start(echo(), limits).await;
    let drip = async {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let closed = stream.write_all(b"X: y\r\n").await.is_err();
            let mut byte = [0];
            let ended = matches!(stream.try_read(&mut byte), Ok(0));
            if closed || ended {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, drip).await.unwrap();
}

#[tokio::test]
async fn a_silent_connection_is_closed_but_a_long_call_is_not_silence() {
    let limits = RpcLimits { idle_time: Duration::from_millis(100), ..RpcLimits::default() };
    let caller: Caller = Arc::new(|_, _| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            Ok(Reply::now(json!({})))
        })
    });
    let addr = start(caller, limits).await;
    assert_eq!(raw(addr, b"").await, "");
    assert_eq!(get(addr, "/health").await.0, 200);
}

#[tokio::test]
async fn no_more_connections_are_taken_than_there_are_places() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let go = Arc::new(Notify::new());
    let caller: Caller = {
        let (running, most, go) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&go));
        Arc::new(move |_, _| {
            let (running, most, go) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&go));
            Box::pin(async move {
                let count = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(count, Ordering::SeqCst);
                go.notified().await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(Reply::now(json!({})))
            })
        })
    };
    let addr = start(caller, RpcLimits { max_connections: 2, ..RpcLimits::default() }).await;
    let calls: Vec<_> = (0..6).map(|_| tokio::spawn(get(addr, "/health"))).collect();
    let mut ended = 0;
    for call in calls {
        // Every call that runs is let go, one after the other, until this one has its answer.
        while !call.is_finished() {
            go.notify_one();
            tokio::task::yield_now().await;
        }
        assert_eq!(call.await.unwrap().0, 200);
        ended += 1;
    }
    assert_eq!(ended, 6);
    assert!(most.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn one_connection_carries_many_calls() {
    let addr = start(echo(), RpcLimits::default()).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    for _ in 0..50 {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\"result\":{}}") {
            let mut part = [0; 512];
            let count = tokio::time::timeout(PATIENCE, stream.read(&mut part)).await.unwrap().unwrap();
            assert!(count > 0);
            answer.extend_from_slice(&part[..count]);
        }
    }
}
