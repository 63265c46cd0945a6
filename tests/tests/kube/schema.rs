//! Documents before two judges: the daemon's reader, and a real API server with our definition. Both refuse what is wrong, but
//! for what only the daemon's file can tell; and the API server refuses nothing that the reader would take.

use anyhow::Context as _;
use plimsoll::config::{Configuration, Objects, load_daemon, reload};
use plimsoll::kubernetes::{Access, ApiServer, Failure, Write};
use plimsoll_tests::chart::documents;
use plimsoll_tests::cluster::Namespace;
use plimsoll_tests::kube::in_cluster;
use plimsoll_wire::snapshot::Now;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

const DOCUMENTS: &str = include_str!("../../data/documents.yaml");
const DAEMON: &str = "apiVersion: plimsoll.dev/v1alpha1
kind: DaemonConfig
kubernetes:
  namespaces: ['*']
  autoscalers: true
  scalable: [{apiVersion: example.dev/v1, kind: Database, plural: databases}]
platforms:
  playground: {kind: sim, seed: 1, namespaces: ['*']}
systems:
  pods: {kind: etcd, namespaces: ['*']}
  etcd: {kind: etcd, namespaces: ['*']}
  etcd-main: {kind: etcd, namespaces: ['*']}
sources:
  main: {kind: prometheus, url: 'http://127.0.0.1:9090', namespaces: ['*']}
";

/// Any moment: no file is read here.
fn now() -> Now {
    Now { mono_ms: 0, wall_ms: 0, boot: "boot".into() }
}

/// The reader of documents, with a daemon's file.
struct Reader {
    nothing: Configuration,
    _home: tempfile::TempDir,
}

impl Reader {
    fn new() -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let file = home.path().join("plimsoll.yaml");
        std::fs::write(&file, DAEMON)?;
        let daemon = load_daemon(&file).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        let nothing = Configuration::new(Arc::new(daemon));
        Ok(Self { nothing, _home: home })
    }

    /// Takes a document, or says what is wrong with it.
    fn judge(&self, document: &Value) -> Result<(), String> {
        let objects = Objects { seen: vec![Arc::new(document.clone())], ..Objects::default() };
        let reloaded = reload(&self.nothing, &objects, &now());
        if reloaded.configuration.targets.is_empty() { Err(reloaded.problems.to_string()) } else { Ok(()) }
    }
}

/// The API server, asked without effect.
struct Server {
    server: ApiServer,
    path: String,
}

impl Server {
    async fn new(namespace: &Namespace) -> anyhow::Result<Self> {
        let kubeconfig = Some(namespace.cluster().kubeconfig().to_owned());
        let server = ApiServer::open(Access { kubeconfig, context: None }).await?;
        let path = format!(
            "/apis/plimsoll.dev/v1alpha1/namespaces/{}/statefulautoscalers?dryRun=All&fieldValidation=Strict",
            namespace.name()
        );
        Ok(Self { server, path })
    }

    async fn judge(&self, document: &Value) -> anyhow::Result<Result<(), String>> {
        match self.server.write(Write::Create(&self.path, document)).await {
            Ok(_) => Ok(Ok(())),
            Err(failure @ (Failure::Invalid { .. } | Failure::Denied { .. })) => Ok(Err(failure.to_string())),
            Err(failure) => Err(anyhow::anyhow!("{failure}")),
        }
    }
}

fn document(namespace: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "StatefulAutoscaler",
        "metadata": { "name": "db", "namespace": namespace }, "spec": spec,
    })
}

/// RFC 7386.
fn merged(into: &Value, patch: &Value) -> Value {
    let Value::Object(fields) = patch else { return patch.clone() };
    let mut out = into.as_object().cloned().unwrap_or_default();
    for (key, value) in fields {
        if value.is_null() {
            out.remove(key);
        } else {
            let before = out.get(key).cloned().unwrap_or_default();
            out.insert(key.clone(), merged(&before, value));
        }
    }
    Value::Object(out)
}

fn table() -> anyhow::Result<Value> {
    documents(DOCUMENTS)?.pop().context("no table")
}

fn rows<'a>(table: &'a Value, key: &str) -> impl Iterator<Item = (&'a str, Value, Option<&'a str>)> {
    let rows = table[key].as_array().map_or(&[][..], Vec::as_slice);
    rows.iter().map(|row| {
        let spec = merged(&table["base"], &row["patch"]);
        (row["what"].as_str().unwrap_or_default(), spec, row["reader"].as_str())
    })
}

#[test]
fn what_is_wrong_is_refused_by_both_and_what_is_right_by_none() -> anyhow::Result<()> {
    in_cluster(|namespace| async move {
        let (reader, server, table) = (Reader::new()?, Server::new(&namespace).await?, table()?);
        let mut complaints = Vec::new();
        let (mut both, mut one) = (0, 0);
        for (what, spec, only_reader) in rows(&table, "wrong") {
            let document = document(namespace.name(), &spec);
            let judged = (reader.judge(&document).is_err(), server.judge(&document).await?);
            match (judged, only_reader) {
                ((true, Err(_)), None) => both += 1,
                ((true, Ok(())), Some(_)) => one += 1,
                (judged, _) => {
                    complaints.push(format!("{what}: reader refuses {}, server {:?}", judged.0, judged.1))
                }
            }
        }
        let mut right: Vec<(&str, Value)> =
            rows(&table, "right").map(|(what, spec, _)| (what, spec)).collect();
        right.extend(published()?);
        for (what, spec) in &right {
            let document = document(namespace.name(), spec);
            let judged = (reader.judge(&document), server.judge(&document).await?);
            if judged != (Ok(()), Ok(())) {
                complaints.push(format!("{what}: {judged:#?}"));
            }
        }
        println!(
            "{both} wrong documents refused by both, {one} by the reader alone, {} taken by both",
            right.len()
        );
        assert_eq!(complaints, Vec::<String>::new());
        assert!(both >= 50 && right.len() >= 12);
        Ok(())
    })
}

/// The documents that we publish.
fn published() -> anyhow::Result<Vec<(&'static str, Value)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |file: &str| -> anyhow::Result<Value> {
        documents(&std::fs::read_to_string(root.join(file))?)?.pop().context("an empty file")
    };
    let mut example = read("host/src/config/example-target.yaml")?["spec"].take();
    // The owner's own commands are not in this daemon's file.
    example["targetRef"] = json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db" });
    let values = read("examples/kubernetes/values.yaml")?["targets"]["etcd"]["spec"].take();
    Ok(vec![("the example of every key", example), ("the target in the chart's example", values)])
}

/// Every place of a value, as its parts.
fn places(value: &Value, at: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    // What is a policy's own is nobody else's to judge, and a wish from outside is no part of the document.
    if at.last().is_some_and(|last| last == "settings" || last == "replicas") {
        return;
    }
    if !at.is_empty() {
        found.push(at.clone());
    }
    let mut below = |key: String, value: &Value| {
        at.push(key);
        places(value, at, found);
        at.pop();
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| below(key.clone(), value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, value)| below(at.to_string(), value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What is put in the place of something, or beside it.
fn slips(spec: &Value) -> Vec<(String, Value)> {
    let (mut found, mut slips) = (Vec::new(), Vec::new());
    places(spec, &mut Vec::new(), &mut found);
    for place in found {
        let pointer = format!("/{}", place.join("/"));
        for wrong in [
            json!(true),
            json!(-1),
            json!(0),
            json!(1.5),
            json!(1e9),
            json!(""),
            json!("17 parsecs"),
            json!([]),
            json!({}),
        ] {
            let mut changed = spec.clone();
            if let Some(value) = changed.pointer_mut(&pointer) {
                *value = wrong.clone();
                slips.push((format!("{pointer} = {wrong}"), changed));
            }
        }
        let mut changed = spec.clone();
        if let Some(fields) = changed.pointer_mut(&pointer).and_then(Value::as_object_mut) {
            fields.insert("unheardOf".to_owned(), json!(1));
            slips.push((format!("{pointer} has another key"), changed));
        }
    }
    slips
}

/// In a file `name: 17` is the name 17; the server tells numbers and switches from text.
fn is_another_type_for_text(why: &str) -> bool {
    ["number", "integer", "boolean"]
        .iter()
        .any(|kind| why.contains(&format!("must be of type string: \"{kind}\"")))
}

#[test]
fn the_server_refuses_nothing_that_the_reader_takes() -> anyhow::Result<()> {
    in_cluster(|namespace| async move {
        let (reader, server, table) = (Reader::new()?, Server::new(&namespace).await?, table()?);
        let mut documents: Vec<Value> = rows(&table, "right").map(|(_, spec, _)| spec).collect();
        documents.extend(published()?.into_iter().map(|(_, spec)| spec));
        let mut seen = std::collections::BTreeSet::new();
        let (mut tried, mut reader_refused, mut server_refused) = (0, 0, 0);
        let mut complaints = Vec::new();
        for (slip, spec) in documents.iter().flat_map(slips) {
            // The same slip in the same place is tried once: what stands beside it makes no difference that is looked for here.
            if !seen.insert(slip.clone()) {
                continue;
            }
            tried += 1;
            let document = document(namespace.name(), &spec);
            let (read, served) = (reader.judge(&document), server.judge(&document).await?);
            reader_refused += u32::from(read.is_err());
            if let Err(why) = served {
                server_refused += 1;
                if read.is_ok() && !is_another_type_for_text(&why) {
                    complaints.push(format!("{slip}: {why}"));
                }
            }
        }
        println!("{tried} slips: the reader refuses {reader_refused}, the server {server_refused}");
        assert_eq!(complaints, Vec::<String>::new());
        assert!(server_refused * 10 > reader_refused * 9, "the server lets too much pass");
        Ok(())
    })
}

#[test]
fn kubectl_explains_every_key() -> anyhow::Result<()> {
    in_cluster(|namespace| async move {
        for (key, part) in [
            ("spec", "The invariants' parameters, each with its rule"),
            ("spec.safety", "EVID-4; 2m by default, from 1s to 1d"),
            ("spec.policies", "Who is asked for a size"),
            ("spec.behavior.scaleDown", "the most careful of them counts"),
        ] {
            let path = format!("statefulautoscaler.{key}");
            let told =
                namespace.cluster().kubectl(["explain", &path, "--api-version=plimsoll.dev/v1alpha1"])?;
            let words: Vec<&str> = told.split_whitespace().collect();
            assert!(words.join(" ").contains(part), "{path}: {told}");
        }
        Ok(())
    })
}
