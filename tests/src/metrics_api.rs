//! A metrics API of the test's own: the API server hands `external.metrics.k8s.io` to it, so that a real
//! HorizontalPodAutoscaler follows a number that a test sets.

use crate::cluster::{Cluster, Namespace};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The group, as the autoscaler of the controller manager asks for it.
const GROUP: &str = "external.metrics.k8s.io/v1beta1";
/// The most bytes of a request's head.
const MAX_HEAD: usize = 64 << 10;

/// The API, with its one metric `load`. It goes with this.
#[derive(Debug)]
pub struct MetricsApi {
    cluster: Arc<Cluster>,
    value: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl Drop for MetricsApi {
    fn drop(&mut self) {
        self.server.abort();
        let name = "apiservice/v1beta1.external.metrics.k8s.io";
        if let Err(error) = self.cluster.kubectl(["delete", name, "--wait=false"]) {
            eprintln!("{name} could not be deleted: {error:#}");
        }
    }
}

impl MetricsApi {
    /// Serves at an address of the cluster's node, where the API server finds it; to be started inside the cluster's
    /// network.
    ///
    /// # Errors
    /// When it cannot listen there, or the API server does not take it up.
    pub async fn start(namespace: &Namespace, value: u64) -> anyhow::Result<Self> {
        let nodes = ["get", "nodes", "--output", "jsonpath={.items[0].status.addresses[0].address}"];
        let address = namespace.cluster().kubectl(nodes)?;
        let listener = TcpListener::bind((address.as_str(), 0)).await.context("listening on the node")?;
        let port = listener.local_addr()?.port();
        let (value, asked) = (Arc::new(AtomicU64::new(value)), Arc::new(AtomicU64::new(0)));
        let server = tokio::spawn(serve(listener, acceptor()?, Arc::clone(&value), Arc::clone(&asked)));
        let api = Self { cluster: Arc::clone(namespace.cluster()), value, asked, server };
        namespace.apply(&manifest(namespace.name(), &address, port))?;
        let name = "apiservice/v1beta1.external.metrics.k8s.io";
        api.cluster.kubectl(["wait", "--for=condition=Available", "--timeout=90s", name])?;
        Ok(api)
    }

    /// What the metric says from now on.
    pub fn set(&self, value: u64) {
        self.value.store(value, Ordering::SeqCst);
    }

    /// How often the metric was asked for.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

fn acceptor() -> anyhow::Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(vec!["metrics".to_owned()])?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn manifest(namespace: &str, address: &str, port: u16) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: metrics, namespace: {namespace}}}
spec: {{ports: [{{name: https, port: 443, targetPort: {port}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: metrics
  namespace: {namespace}
  labels: {{kubernetes.io/service-name: metrics, endpointslice.kubernetes.io/managed-by: plimsoll-tests}}
addressType: IPv4
endpoints: [{{addresses: [{address}], conditions: {{ready: true}}}}]
ports: [{{name: https, port: {port}, protocol: TCP}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{name: v1beta1.external.metrics.k8s.io}}
spec:
  group: external.metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {{name: metrics, namespace: {namespace}, port: 443}}
"
    )
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, value: Arc<AtomicU64>, asked: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, value, asked) = (tls.clone(), Arc::clone(&value), Arc::clone(&asked));
        tokio::spawn(async move {
            if let Err(error) = answer(tls, stream, &value, &asked).await {
                println!("the metrics API: {error:#}");
            }
        });
    }
}

/// One request a connection.
async fn answer(
    tls: TlsAcceptor,
    stream: TcpStream,
    value: &AtomicU64,
    asked: &AtomicU64,
) -> anyhow::Result<()> {
    let mut stream = tls.accept(stream).await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).await?;
        // A probe that only looks whether somebody listens.
        if count == 0 || head.len() > MAX_HEAD {
            return Ok(());
        }
        head.extend_from_slice(&some[..count]);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split_whitespace().nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let (code, body) = match document(path, value.load(Ordering::SeqCst)) {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", json!({ "kind": "Status", "apiVersion": "v1", "code": 404 })),
    };
    asked.fetch_add(u64::from(path.ends_with("/load")), Ordering::SeqCst);
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {code}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

fn document(path: &str, value: u64) -> Option<Value> {
    let root = format!("/apis/{GROUP}");
    let rest = path.strip_prefix(&root)?;
    if rest.is_empty() || rest == "/" {
        return Some(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP,
            "resources": [{
                "name": "load", "singularName": "", "namespaced": true, "kind": "ExternalMetricValueList",
                "verbs": ["get"],
            }],
        }));
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    let time = plimsoll::kubernetes::stateful_autoscaler::Moment::of(i64::try_from(now.as_millis()).ok()?).0;
    rest.ends_with("/load").then(|| {
        json!({
            "kind": "ExternalMetricValueList", "apiVersion": GROUP, "metadata": {},
            "items": [{ "metricName": "load", "metricLabels": {}, "timestamp": time, "value": value.to_string() }],
        })
    })
}
