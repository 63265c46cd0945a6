//! Signals from a real Prometheus, through its ordinary days and its bad ones.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use plimsoll::collect::{
    Aggregation, BatchBy, Collector, Credentials, SeriesWatch, SignalDefinition, SourceConfig, TargetKey,
};
use plimsoll_tests::prometheus::{Exporter, PrometheusServer, wait_until};
use plimsoll_wire::snapshot::{Now, Signal, SignalState};
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A Prometheus takes about five seconds to begin to scrape; the rest is for a machine with other work.
const LIMIT: Duration = Duration::from_secs(90);

struct Reader {
    collector: Collector,
    started: Instant,
}

impl Reader {
    fn new(config: SourceConfig) -> Self {
        Self { collector: Collector::new(vec![config]).unwrap(), started: Instant::now() }
    }

    fn of(server: &PrometheusServer) -> Self {
        Self::new(SourceConfig::new("main", server.url()))
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Now {
            mono_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap(),
            wall_ms: i64::try_from(wall.as_millis()).unwrap(),
            boot: "test".into(),
        }
    }

    async fn read(&self, definition: &SignalDefinition) -> Signal {
        let target: TargetKey = "default/t".into();
        let mut read = self.collector.read(&[(target.clone(), definition.clone())], &self.now()).await;
        read.remove(&target).unwrap().remove(&definition.name).unwrap()
    }

    /// Waits for a signal that is as wanted, and gives it.
    async fn wait(&self, definition: &SignalDefinition, wanted: impl Fn(&Signal) -> bool) -> Signal {
        let (look, wanted) = (|| self.read(definition), &wanted);
        let seen = wait_until("a signal", LIMIT, || async move {
            let signal = look().await;
            if wanted(&signal) { Ok(signal) } else { Err(format!("{signal:?}")) }
        });
        seen.await.unwrap()
    }

    async fn wait_for(&self, definition: &SignalDefinition, state: SignalState) -> Signal {
        self.wait(definition, |signal| signal.state == state).await
    }

    /// The states that a signal goes through, each once, until it has the last.
    async fn states_until(&self, definition: &SignalDefinition, last: SignalState) -> Vec<SignalState> {
        let mut states = vec![self.read(definition).await.state];
        while states.last() != Some(&last) {
            let before = *states.last().unwrap();
            states.push(self.wait(definition, |signal| signal.state != before).await.state);
            assert!(states.len() < 20, "{states:?}");
        }
        states
    }
}

/// Four seconds, of which four fifths must be there, and no older than two.
fn range(query: &str) -> SignalDefinition {
    let definition = SignalDefinition {
        window_ms: 4_000,
        step_ms: 1_000,
        max_age_ms: 2_000,
        ..SignalDefinition::new("load", "main", query)
    };
    assert_eq!(definition.problems(), vec![]);
    definition
}

fn instant(query: &str) -> SignalDefinition {
    SignalDefinition { window_ms: 0, ..range(query) }
}

fn newest(signal: &Signal) -> Option<f64> {
    signal.samples.last().map(|sample| sample.value)
}

fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

#[test]
fn a_stopped_exporter_goes_from_ok_to_stale_to_absent_and_never_to_zero() {
    run(async {
        let mut exporter = Exporter::start("queue_depth 0\n").unwrap();
        let server = PrometheusServer::start(&[exporter.port()], "").unwrap();
        let (reader, depth) = (Reader::of(&server), range("queue_depth"));
        let zero = reader.wait_for(&depth, SignalState::Ok).await;
        assert!(zero.samples.iter().all(|sample| sample.value.to_bits() == 0), "{zero:?}");

        exporter.set("queue_depth 7\n");
        let seven = |signal: &Signal| signal.samples.iter().all(|sample| sample.value > 6.0);
        reader.wait(&depth, |signal| signal.state == SignalState::Ok && seven(signal)).await;
        exporter.stop();
        let states = reader.states_until(&depth, SignalState::Absent).await;
        // Before: `ok`, then `partial`, as the window runs empty.
        assert!(states.contains(&SignalState::Stale), "{states:?}");
        let since_stale = states.iter().skip_while(|state| **state != SignalState::Stale);
        assert!(!since_stale.clone().any(|state| *state == SignalState::Ok), "{states:?}");
        let gone = reader.read(&instant("queue_depth")).await;
        assert_eq!((gone.state, gone.samples), (SignalState::Absent, vec![]));
    });
}

#[test]
fn a_restart_without_history_is_partial_and_a_stopped_server_unavailable() {
    run(async {
        let exporter = Exporter::start("queue_depth 7\n").unwrap();
        let mut server = PrometheusServer::start(&[exporter.port()], "").unwrap();
        let (reader, depth) = (Reader::of(&server), range("queue_depth"));
        reader.wait_for(&depth, SignalState::Ok).await;

        server.stop().await.unwrap();
        let refused = reader.wait_for(&depth, SignalState::Unavailable).await;
        assert_eq!(refused.samples, vec![]);
        assert!(refused.detail.contains("no connection"), "{}", refused.detail);

        server.wipe().unwrap();
        server.resume().unwrap();
        let states = reader.states_until(&depth, SignalState::Ok).await;
        let last = &states[states.len().saturating_sub(2)..];
        assert_eq!(last, [SignalState::Partial, SignalState::Ok], "{states:?}");
    });
}

/// A minute is remembered, second by second.
fn watched(query: &str) -> SignalDefinition {
    let series = SeriesWatch { forget_ms: 60_000, ..SeriesWatch::default() };
    SignalDefinition { series, ..range(query) }
}

/// Three exporters with a queue of 20 each and a counter.
fn three() -> ([Exporter; 3], PrometheusServer) {
    let page = "# TYPE requests_total counter\nrequests_total 100\n# TYPE queue gauge\nqueue 20\n";
    let exporters = [0, 1, 2].map(|_| Exporter::start(page).unwrap());
    let ports = exporters.each_ref().map(Exporter::port);
    let server = PrometheusServer::start(&ports, "").unwrap();
    (exporters, server)
}

/// A rate looks back over its whole range, which makes a slow fall to zero of the end of all that is measured.
#[test]
fn a_rate_over_exporters_that_have_all_died_is_partial_and_not_a_low_load() {
    run(async {
        let (mut exporters, server) = three();
        let reader = Reader::of(&server);
        let rate = watched("sum(rate(requests_total[8s]))");
        reader.wait_for(&rate, SignalState::Ok).await;
        exporters.iter_mut().for_each(Exporter::stop);
        let silent = reader.wait(&rate, |signal| signal.state != SignalState::Ok).await;
        assert_eq!(silent.state, SignalState::Partial, "{silent:?}");
        assert!(silent.detail.contains("of the 3 series of the last 1m are behind it"), "{silent:?}");
        let states = reader.states_until(&rate, SignalState::Absent).await;
        assert!(!states.contains(&SignalState::Ok), "{states:?}");
    });
}

#[test]
fn a_sum_of_which_one_part_has_died_is_partial_until_we_took_it_away_or_it_is_forgotten() {
    run(async {
        let (mut exporters, server) = three();
        let reader = Reader::of(&server);
        let sum = watched("sum(queue)");
        let whole = reader.wait_for(&sum, SignalState::Ok).await;
        assert_eq!(newest(&whole), Some(60.0));
        exporters[0].stop();
        let missing = reader.wait(&sum, |signal| signal.state != SignalState::Ok).await;
        assert_eq!(missing.state, SignalState::Partial, "{missing:?}");
        assert!(missing.detail.contains("2 of the 3 series"), "{missing:?}");
        // Others that ask remember it too: it is the source that remembers.
        assert_eq!(Reader::of(&server).read(&sum).await.state, SignalState::Partial);
        // We scaled in ourselves, or the owner says that any number will do, or how many there have to be.
        let now_ms = reader.now().wall_ms;
        let scaled_in = SignalDefinition { taken_away_ms: Some(now_ms), ..sum.clone() };
        assert_eq!(
            reader.wait_for(&scaled_in, SignalState::Ok).await.samples.last().map(|at| at.value),
            Some(40.0)
        );
        let expect = |number| SignalDefinition {
            series: SeriesWatch { expect: Some(number), ..sum.series.clone() },
            ..sum.clone()
        };
        reader.wait_for(&expect(0), SignalState::Ok).await;
        reader.wait_for(&expect(2), SignalState::Ok).await;
        assert_eq!(reader.read(&expect(3)).await.state, SignalState::Partial);
        // Nobody has seen three for a while.
        let forgetful = SignalDefinition {
            series: SeriesWatch { forget_ms: 3_000, ..SeriesWatch::default() },
            ..sum.clone()
        };
        reader.wait_for(&forgetful, SignalState::Ok).await;
    });
}

#[test]
fn what_the_owner_counts_is_what_has_to_be_there() {
    run(async {
        let (mut exporters, server) = three();
        let reader = Reader::of(&server);
        let counting = |query: &str, expect| SignalDefinition {
            series: SeriesWatch { query: Some(query.to_owned()), expect, ..watched("sum(queue)").series },
            ..watched("sum(queue)")
        };
        reader.wait_for(&counting("count(up == 1)", Some(3)), SignalState::Ok).await;
        reader.wait_for(&counting("count(up == 1)", None), SignalState::Ok).await;
        let broken = reader.read(&counting("count(", None)).await;
        assert_eq!(broken.state, SignalState::Partial, "{broken:?}");
        assert!(broken.detail.contains("how many series are behind it is not known: HTTP 400"), "{broken:?}");
        exporters[2].stop();
        reader.wait_for(&counting("count(up == 1)", Some(3)), SignalState::Partial).await;
        reader.wait_for(&counting("count(up == 1)", None), SignalState::Partial).await;
    });
}

#[test]
fn a_ratio_of_two_metrics_is_counted_selector_by_selector() {
    run(async {
        let page = "queue{a=\"b\"} 4\nplaces 8\n";
        let mut exporters = [0, 1].map(|_| Exporter::start(page).unwrap());
        let server = PrometheusServer::start(&exporters.each_ref().map(Exporter::port), "").unwrap();
        let reader = Reader::of(&server);
        let ratio = watched(
            "sum by () (queue{a=~\"b|c\"}) / sum(max_over_time(places[2s])) * on () group_left () vector(1)",
        );
        let whole = reader.wait_for(&ratio, SignalState::Ok).await;
        assert_eq!(newest(&whole), Some(0.5), "{whole:?}");
        exporters[1].set("places 8\n");
        let missing = reader.wait(&ratio, |signal| signal.state != SignalState::Ok).await;
        assert!(missing.detail.contains("1 of the 2 series"), "{missing:?}");
        exporters[0].stop();
    });
}

const MIXED: &str = r#"
ratio NaN
endless +Inf
depth{cluster="a",member="0"} 1
depth{cluster="a",member="1"} 2
depth{cluster="b",member="0"} 4
writes_total 100
"#;

#[test]
fn a_real_prometheus_tells_numbers_from_what_is_none_and_serves_many_targets_at_once() {
    run(async {
        let exporter = Exporter::start(MIXED).unwrap();
        let server = PrometheusServer::start(&[exporter.port()], "").unwrap();
        let reader = Reader::of(&server);
        let counter = SignalDefinition { counter: true, ..range("writes_total") };
        reader.wait_for(&counter, SignalState::Ok).await;

        for query in ["ratio", "endless", "0/0", "vector(1)/0", "scalar(nothing)"] {
            let signal = reader.read(&instant(query)).await;
            assert_eq!((signal.state, signal.samples), (SignalState::NotANumber, vec![]), "{query}");
        }
        assert_eq!(reader.read(&range("ratio")).await.state, SignalState::NotANumber);
        assert_eq!(reader.read(&instant("nothing")).await.state, SignalState::Absent);
        assert_eq!(reader.read(&instant("\"text\"")).await.state, SignalState::Malformed);
        assert_eq!(reader.read(&instant("depth[3s]")).await.state, SignalState::Malformed);
        let broken = reader.read(&range("sum(")).await;
        assert_eq!(broken.state, SignalState::Unavailable);
        assert!(
            broken.detail.contains("HTTP 400; bad_data") && broken.detail.contains("parse error"),
            "{broken:?}"
        );

        assert_eq!(reader.read(&range("depth")).await.state, SignalState::Ambiguous);
        let sum = SignalDefinition { aggregation: Some(Aggregation::Sum), ..range("depth") };
        let sum = reader.wait_for(&sum, SignalState::Ok).await;
        assert_eq!(newest(&sum), Some(7.0), "{sum:?}");
        one_query_serves_many_targets(&server).await;

        exporter.set("writes_total 3\n");
        let restarted = reader.wait(&counter, |signal| newest(signal) == Some(3.0)).await;
        assert_eq!(restarted.state, SignalState::Partial);
        assert!(restarted.samples.iter().all(|sample| sample.value < 4.0), "{restarted:?}");
    });
}

/// Three targets, of which one has no series, read by one call and by one call each at the same time.
async fn one_query_serves_many_targets(server: &PrometheusServer) {
    let of = |cluster: &str| SignalDefinition {
        batch_by: Some(BatchBy { label: "cluster".to_owned(), value: cluster.to_owned() }),
        ..range("sum by (cluster) (depth)")
    };
    Reader::of(server).wait_for(&of("a"), SignalState::Ok).await;
    let wanted = ["a", "b", "c"].map(|cluster| (format!("default/{cluster}").into(), of(cluster)));

    // By a reader that has no recent answer.
    let reader = Reader::of(server);
    let before = queries_served(server).await;
    let now = reader.now();
    let (all, a, b) = tokio::join!(
        reader.collector.read(&wanted, &now),
        reader.collector.read(&wanted[..1], &now),
        reader.collector.read(&wanted[1..2], &now),
    );
    // The question, and beside it the count of the series.
    assert_eq!(queries_served(server).await - before, 2);
    assert_eq!(newest(&all["default/a"]["load"]), Some(3.0), "{all:?}");
    assert_eq!(newest(&all["default/b"]["load"]), Some(4.0), "{all:?}");
    assert_eq!(all["default/c"]["load"].state, SignalState::Absent, "{all:?}");
    assert_eq!((newest(&a["default/a"]["load"]), newest(&b["default/b"]["load"])), (Some(3.0), Some(4.0)));
}

/// How many range queries the server itself says it has answered.
async fn queries_served(server: &PrometheusServer) -> u64 {
    plimsoll::tls::install_provider();
    let page = reqwest::get(format!("{}/metrics", server.url())).await.unwrap().text().await.unwrap();
    let counted = page.lines().filter(|line| line.starts_with("prometheus_http_requests_total{"));
    let counted = counted.filter(|line| line.contains("handler=\"/api/v1/query_range\""));
    counted.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[test]
fn warnings_of_a_real_prometheus_make_a_signal_partial() {
    run(async {
        let exporter = Exporter::start("queue_depth 7\n").unwrap();
        // A second store that is asked too and does not answer: Prometheus warns and gives what it has.
        let closed = plimsoll_tests::prometheus::free_port().unwrap();
        let remote = format!("remote_read: [{{url: 'http://127.0.0.1:{closed}/', read_recent: true}}]");
        let server = PrometheusServer::start(&[exporter.port()], &remote).unwrap();
        let reader = Reader::of(&server);
        let warned = |signal: &Signal| {
            signal.detail.contains("the source warns") && signal.coverage_permille == Some(1_000)
        };
        let signal = reader.wait(&range("queue_depth"), warned).await;
        assert_eq!((signal.state, newest(&signal)), (SignalState::Partial, Some(7.0)), "{signal:?}");
    });
}

#[test]
fn tls_and_a_password_that_is_rotated() {
    run(async {
        let server =
            PrometheusServer::start_with(&[], "", &["--web.config.file=DIR/web.yml"], secure).unwrap();
        let password_file = server.dir().join("password");
        std::fs::write(&password_file, "correct horse\n").unwrap();
        let config = SourceConfig {
            url: format!("https://localhost:{}", server.port()),
            ca_file: Some(server.dir().join("ca.pem")),
            credentials: Credentials::Basic {
                username: "plimsoll".to_owned(),
                password_file: password_file.clone(),
            },
            ..SourceConfig::new("main", "")
        };
        let reader = Reader::new(config.clone());
        let one = instant("vector(1)");
        reader.wait_for(&one, SignalState::Ok).await;

        std::fs::write(&password_file, "wrong").unwrap();
        let refused = reader.wait_for(&one, SignalState::Unavailable).await;
        assert!(refused.detail.contains("HTTP 401"), "{refused:?}");
        assert!(!refused.detail.contains("wrong"), "the secret is not shown: {refused:?}");
        std::fs::write(&password_file, "").unwrap();
        let empty = reader.wait(&one, |signal| signal.detail.contains("is empty")).await;
        assert_eq!(empty.state, SignalState::Unavailable);
        std::fs::write(&password_file, "correct horse").unwrap();
        reader.wait_for(&one, SignalState::Ok).await;

        let strangers = Reader::new(SourceConfig { ca_file: Some(server.dir().join("other.pem")), ..config });
        let untrusted = strangers.read(&one).await;
        assert_eq!(untrusted.state, SignalState::Unavailable);
        assert!(untrusted.detail.contains("certificate"), "{untrusted:?}");
    });
}

/// Writes the certificates, and for Prometheus the key and the hash of the password `correct horse`.
fn secure(dir: &Path) -> anyhow::Result<()> {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority = || -> anyhow::Result<_> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        Ok((params.self_signed(&key)?.pem(), Issuer::new(params, key)))
    };
    let (ca, issuer) = authority()?;
    std::fs::write(dir.join("ca.pem"), ca)?;
    std::fs::write(dir.join("other.pem"), authority()?.0)?;
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &issuer)?;
    std::fs::write(dir.join("server.pem"), leaf.pem())?;
    std::fs::write(dir.join("server.key"), key.serialize_pem())?;
    let web = "tls_server_config: {cert_file: server.pem, key_file: server.key}\nbasic_auth_users: {plimsoll: '$2b$04$Pfu1r2TZEQPmzmnV2mvcGejY472m4DovgshbichDQ4LL4TQf5CQDm'}\n";
    Ok(std::fs::write(dir.join("web.yml"), web)?)
}
