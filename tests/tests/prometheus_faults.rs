//! A source that misbehaves on the wire in every way that a socket allows.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use plimsoll::collect::{Collector, Credentials, SignalDefinition, SignalsByTarget, SourceConfig, TargetKey};
use plimsoll_tests::prometheus::wait_until;
use plimsoll_wire::snapshot::{Now, Signal, SignalState};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const NOW_S: i64 = 1_795_450_293;
const LIMIT: Duration = Duration::from_secs(20);
/// Short, so that the tests of it are; still long enough for any answer that is not held back.
const DEADLINE: Duration = Duration::from_secs(2);

fn now(mono_ms: u64) -> Now {
    Now { mono_ms, wall_ms: NOW_S * 1_000 + 200, boot: "test".into() }
}

fn load(query: &str) -> SignalDefinition {
    SignalDefinition { window_ms: 0, ..SignalDefinition::new(query, "main", query) }
}

fn good() -> String {
    json(
        200,
        &format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[{NOW_S},"5"]}}]}}}}"#
        ),
    )
}

fn json(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Word\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A server that does with each connection what the test says, and counts them.
struct Scripted {
    port: u16,
    asked: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn start<F: Future<Output = ()> + Send + 'static>(
        script: impl Fn(TcpStream, String) -> F + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, heads) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let script = Arc::new(script);
        let (counted, kept) = (asked.clone(), heads.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (script, counted, kept) = (script.clone(), counted.clone(), kept.clone());
                tokio::spawn(async move {
                    let request = read_request(&mut stream).await;
                    counted.fetch_add(1, Ordering::SeqCst);
                    kept.lock().unwrap().push(request.clone());
                    script(stream, request).await;
                });
            }
        });
        Self { port, asked, heads }
    }

    /// One that sends these bytes and closes.
    async fn sending(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = Arc::new(bytes.into());
        Self::start(move |mut stream, _| {
            let bytes = bytes.clone();
            async move {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
            }
        })
        .await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn config(&self) -> SourceConfig {
        SourceConfig {
            deadline: DEADLINE,
            ..SourceConfig::new("main", format!("http://127.0.0.1:{}", self.port))
        }
    }

    fn collector(&self) -> Collector {
        Collector::new(vec![self.config()]).unwrap()
    }

    async fn read(&self) -> Signal {
        read(&self.collector(), 0).await
    }
}

/// The head and the form of a request.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut chunk = [0_u8; 4_096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, form)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if form.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                return text;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return text,
            Ok(read) => request.extend_from_slice(&chunk[..read]),
        }
    }
}

async fn read_all(collector: &Collector, definitions: &[SignalDefinition], mono_ms: u64) -> SignalsByTarget {
    let wanted: Vec<_> = definitions.iter().map(|one| (TargetKey::from("default/t"), one.clone())).collect();
    // Far beyond what a read may take: one that hangs fails here and not in the test runner.
    tokio::time::timeout(LIMIT, collector.read(&wanted, &now(mono_ms))).await.expect("a read ends")
}

async fn read(collector: &Collector, mono_ms: u64) -> Signal {
    let mut read = read_all(collector, &[load("up")], mono_ms).await;
    read.remove("default/t").unwrap().remove("up").unwrap()
}

#[track_caller]
fn assert_fault(signal: &Signal, state: SignalState, word: &str) {
    assert_eq!((signal.state, signal.samples.len()), (state, 0), "{signal:?}");
    assert!(signal.detail.contains(word), "{signal:?} does not speak of {word}");
}

#[tokio::test]
async fn a_good_answer_is_ok_and_asks_for_the_moment() {
    let server = Scripted::sending(good()).await;
    let signal = server.read().await;
    assert_eq!((signal.state, signal.samples[0].value.to_bits()), (SignalState::Ok, 5.0_f64.to_bits()));
    let request = server.heads.lock().unwrap()[0].clone();
    assert!(request.starts_with("POST /api/v1/query HTTP/1.1"), "{request}");
    assert!(request.contains("query=up&time=1795450293&timeout=2000ms&lookback_delta=60000ms"), "{request}");
}

#[tokio::test]
async fn a_body_without_end_is_cut_at_the_cap() {
    for head in ["Transfer-Encoding: chunked", "Connection: close"] {
        let server = Scripted::start(move |mut stream, _| async move {
            let head = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(chunk.as_bytes()).await;
            }
        })
        .await;
        assert_fault(&server.read().await, SignalState::Malformed, "longer than 1048576 bytes");
    }
}

#[tokio::test]
async fn a_body_that_promises_too_much_is_not_read() {
    let server = Scripted::sending("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{").await;
    assert_fault(&server.read().await, SignalState::Malformed, "longer than");
}

#[tokio::test]
async fn a_byte_now_and_then_ends_at_the_deadline() {
    let server = Scripted::start(|mut stream, _| async move {
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
        while sent.is_ok() {
            tick.tick().await;
            sent = stream.write_all(b" ").await;
        }
    })
    .await;
    assert_fault(&server.read().await, SignalState::Unavailable, "deadline of 2000 ms");
}

#[tokio::test]
async fn one_that_never_answers_ends_at_the_deadline() {
    let server = Scripted::start(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    assert_fault(&server.read().await, SignalState::Unavailable, "deadline of 2000 ms");
}

#[tokio::test]
async fn what_is_not_http_is_malformed() {
    for bytes in ["SSH-2.0-OpenSSH_9.2\r\n", "\0\0\0\0\0\0\0\0", "220 mail ready\r\n", "HTTP/9.9 1\r\n\r\n"] {
        assert_fault(&Scripted::sending(bytes).await.read().await, SignalState::Malformed, "not HTTP");
    }
}

#[tokio::test]
async fn one_that_hangs_up_is_unavailable() {
    assert_fault(&Scripted::sending("").await.read().await, SignalState::Unavailable, "without an answer");
    assert_fault(
        &Scripted::sending("HTTP/1.1 200 OK\r\nX: ").await.read().await,
        SignalState::Unavailable,
        "",
    );
}

#[tokio::test]
async fn a_cut_off_body_is_malformed() {
    let whole = good();
    for cut in [1, 20, 60] {
        let server = Scripted::sending(&whole.as_bytes()[..whole.len() - cut]).await;
        assert_fault(&server.read().await, SignalState::Malformed, "in the middle");
    }
    let unmarked = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"status\":\"succ";
    assert_fault(&Scripted::sending(unmarked).await.read().await, SignalState::Malformed, "EOF");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"sta";
    assert_fault(&Scripted::sending(chunked).await.read().await, SignalState::Malformed, "in the middle");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Scripted::sending(good()).await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!(
            "HTTP/1.1 {status} Moved\r\nLocation: http://127.0.0.1:{}/\r\nContent-Length: 0\r\n\r\n",
            elsewhere.port
        );
        let server = Scripted::sending(to).await;
        assert_fault(&server.read().await, SignalState::Unavailable, &format!("HTTP {status}"));
        assert_eq!(server.asked(), 1);
    }
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test]
async fn error_statuses_are_unavailable_and_asked_once() {
    for status in [400, 401, 403, 404, 422, 429, 500, 502, 503] {
        let server = Scripted::sending(json(status, "{\"status\":\"error\",\"error\":\"why\\u001b\"}")).await;
        assert_fault(
            &server.read().await,
            SignalState::Unavailable,
            &format!("HTTP {status}; : why\\u{{1b}}"),
        );
        assert_eq!(server.asked(), 1, "nothing is sent again by itself");
    }
}

#[tokio::test]
async fn other_json_is_malformed() {
    for body in ["[]", "null", "\"up\"", "{\"status\":\"success\"}", "{\"status\":1}", "<html>"] {
        assert_fault(&Scripted::sending(json(200, body)).await.read().await, SignalState::Malformed, "");
    }
}

#[tokio::test]
async fn a_closed_port_is_unavailable() {
    let port = plimsoll_tests::prometheus::free_port().unwrap();
    let config = SourceConfig::new("main", format!("http://127.0.0.1:{port}"));
    let signal = read(&Collector::new(vec![config]).unwrap(), 0).await;
    assert_fault(&signal, SignalState::Unavailable, "no connection");
}

#[tokio::test]
async fn a_source_that_nobody_configured_is_unavailable() {
    let signal =
        read(&Collector::new(vec![SourceConfig::new("other", "http://127.0.0.1:1")]).unwrap(), 0).await;
    assert_fault(&signal, SignalState::Unavailable, "no source named main; it has other");
}

#[tokio::test]
async fn a_token_is_read_anew_for_every_request_and_never_shown() {
    let server = Scripted::sending(json(403, "{}")).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let config = SourceConfig { credentials: Credentials::Bearer { file: file.clone() }, ..server.config() };
    let collector = Collector::new(vec![config]).unwrap();
    assert_fault(&read(&collector, 0).await, SignalState::Unavailable, "credentials");
    assert_eq!(server.asked(), 0);
    for (mono_ms, token) in [(10_000, "first"), (20_000, "second")] {
        std::fs::write(&file, format!("{token}\n")).unwrap();
        let signal = read(&collector, mono_ms).await;
        assert_fault(&signal, SignalState::Unavailable, "HTTP 403");
        assert!(!signal.detail.contains(token));
        let request = server.heads.lock().unwrap().last().unwrap().clone();
        assert!(request.contains(&format!("authorization: Bearer {token}\r\n")), "{request}");
    }
}

#[tokio::test]
async fn a_failing_question_is_left_alone_for_a_while() {
    let server = Scripted::sending(json(500, "{}")).await;
    let collector = server.collector();
    // With so small an age answers are shared for 250 ms only.
    let fresh = SignalDefinition { max_age_ms: 1_000, ..load("up") };
    let at = async |mono_ms| {
        let mut read = read_all(&collector, std::slice::from_ref(&fresh), mono_ms).await;
        read.remove("default/t").unwrap().remove("up").unwrap()
    };
    for mono_ms in [0, 300, 600] {
        assert_fault(&at(mono_ms).await, SignalState::Unavailable, "HTTP 500");
    }
    assert_fault(&at(900).await, SignalState::Unavailable, "not asked after repeated failures");
    assert_eq!(server.asked(), 3);
    assert_fault(&at(30_000).await, SignalState::Unavailable, "HTTP 500");
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn a_dead_source_is_left_alone_and_found_again() {
    let port = plimsoll_tests::prometheus::free_port().unwrap();
    let config = SourceConfig::new("main", format!("http://127.0.0.1:{port}"));
    let collector = Collector::new(vec![config]).unwrap();
    for cycle in 0..3 {
        let query = load(&format!("q{cycle}"));
        let _ = read_all(&collector, &[query], 0).await;
    }
    assert_fault(&read(&collector, 0).await, SignalState::Unavailable, "not asked after repeated failures");
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            let _ = stream.write_all(good().as_bytes()).await;
        }
    });
    assert_eq!(read(&collector, 60_000).await.state, SignalState::Ok);
}

/// Answers at once, but not what is asked with the word `held`, which waits to be released.
async fn holding() -> (Scripted, Arc<Notify>) {
    let release = Arc::new(Notify::new());
    let released = release.clone();
    let server = Scripted::start(move |mut stream, request| {
        let released = released.clone();
        async move {
            if request.contains("held") {
                released.notified().await;
            }
            let _ = stream.write_all(good().as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    (server, release)
}

#[tokio::test]
async fn one_slow_query_does_not_spoil_the_others() {
    let (server, _release) = holding().await;
    let collector = server.collector();
    for cycle in 0..4 {
        let signals = read_all(&collector, &[load("held"), load("up")], cycle * 10_000).await;
        assert_eq!(signals["default/t"]["up"].state, SignalState::Ok, "cycle {cycle}");
        assert_eq!(signals["default/t"]["held"].state, SignalState::Unavailable, "cycle {cycle}");
    }
}

#[tokio::test]
async fn those_who_ask_the_same_share_one_query_in_flight() {
    let (server, release) = holding().await;
    let collector = server.collector();
    let asking = || {
        let collector = collector.clone();
        tokio::spawn(async move { read_all(&collector, &[load("held")], 0).await })
    };
    let (first, second) = (asking(), asking());
    wait_until("the query", LIMIT, || async {
        if server.asked() == 1 { Ok(()) } else { Err("none".to_owned()) }
    })
    .await
    .unwrap();
    release.notify_one();
    for asked in [first, second] {
        assert_eq!(asked.await.unwrap()["default/t"]["held"].state, SignalState::Ok);
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_read_that_is_given_up_blocks_nobody() {
    let (server, release) = holding().await;
    let collector = server.collector();
    let cloned = collector.clone();
    let given_up = tokio::spawn(async move { read_all(&cloned, &[load("held")], 0).await });
    wait_until("the query", LIMIT, || async {
        if server.asked() == 1 { Ok(()) } else { Err("none".to_owned()) }
    })
    .await
    .unwrap();
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    release.notify_one();
    release.notify_waiters();
    let again = tokio::spawn(async move { read_all(&collector, &[load("held")], 0).await });
    wait_until("the second query", LIMIT, || async {
        release.notify_waiters();
        if again.is_finished() { Ok(()) } else { Err(server.asked().to_string()) }
    })
    .await
    .unwrap();
    assert_eq!(again.await.unwrap()["default/t"]["held"].state, SignalState::Ok);
}
