//! A person's client of the API server: reads, and writes that the server checks against the version that was read.

use super::Place;
use crate::kubernetes::scaling_plan::{GROUP, VERSION};
use crate::kubernetes::{ApiServer, Failure, PersonsAccess, Write, scaling_plan, stateful_autoscaler};
use anyhow::{anyhow, bail};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// As whom the plugin writes: the field manager of its own, by which the daemon tells a person's wish from its own value.
pub(super) const MANAGER: &str = "kubectl-plimsoll";
/// How often it is looked whether the daemon has answered: a person does not notice it, nor does the server.
const LOOK: Duration = Duration::from_millis(500);
/// How often a write is tried when somebody else wrote meanwhile: the daemon writes a plan's object a few times a second at
/// most.
const TRIES: u32 = 8;
/// And how long is waited between two of them.
const BETWEEN: Duration = Duration::from_millis(250);

/// A target by its namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// An object of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Autoscaler,
    Plan,
}

impl Kind {
    fn plural(self) -> &'static str {
        match self {
            Self::Autoscaler => stateful_autoscaler::PLURAL,
            Self::Plan => scaling_plan::PLURAL,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Autoscaler => stateful_autoscaler::KIND,
            Self::Plan => scaling_plan::KIND,
        }
    }
}

/// The API server, and the namespace that is meant where none is said.
pub(super) struct Client {
    server: ApiServer,
    pub(super) namespace: String,
}

impl Client {
    pub(super) async fn open(place: &Place) -> anyhow::Result<Self> {
        crate::tls::install_provider();
        let access = PersonsAccess { kubeconfig: place.kubeconfig.clone(), context: place.context.clone() };
        let server = ApiServer::open_for_person(access).await?;
        let namespace = place.namespace.clone().unwrap_or_else(|| server.default_namespace());
        if !is_name(&namespace) {
            bail!("{namespace:?} is no name of a namespace");
        }
        Ok(Self { server, namespace })
    }

    /// A target by what was typed: `NAME`, `NAMESPACE/NAME`, or `KIND/NAME` as `kubectl` takes it.
    pub(super) fn target(&self, typed: &str) -> anyhow::Result<Target> {
        let kinds =
            ["sfa", "statefulautoscaler", "statefulautoscalers", "splan", "scalingplan", "scalingplans"];
        let (namespace, name) = match typed.split_once('/') {
            Some((kind, name)) if kinds.contains(&kind) => (&*self.namespace, name),
            Some((namespace, name)) => (namespace, name),
            None => (&*self.namespace, typed),
        };
        if !is_name(namespace) || !is_name(name) {
            bail!("{typed:?} is no target; write its name, and its namespace with `-n`");
        }
        Ok(Target { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    fn path(kind: Kind, target: &Target) -> String {
        let Target { namespace, name } = target;
        format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{}/{name}", kind.plural())
    }

    /// An object, or that there is none.
    pub(super) async fn find(&self, kind: Kind, target: &Target) -> anyhow::Result<Option<Value>> {
        match self.server.read(&Self::path(kind, target)).await {
            Ok(object) => Ok(Some(object)),
            Err(Failure::NotFound { .. }) => Ok(None),
            Err(failure) => Err(failed(&failure, &format!("reading {} {target}", kind.name()))),
        }
    }

    /// An object that has to be there.
    pub(super) async fn get(&self, kind: Kind, target: &Target) -> anyhow::Result<Value> {
        self.find(kind, target).await?.ok_or_else(|| match kind {
            Kind::Autoscaler => anyhow!(
                "there is no StatefulAutoscaler {target}; `kubectl plimsoll status -A` tells which targets there are"
            ),
            Kind::Plan => anyhow!(
                "there is no ScalingPlan {target}: no daemon has taken up such a target; `kubectl plimsoll status -A` tells \
                 which there are, and the daemon's log why one is not taken up"
            ),
        })
    }

    /// All objects of a kind, of one namespace or of all.
    pub(super) async fn list(&self, kind: Kind, everywhere: bool) -> anyhow::Result<Vec<Value>> {
        let part = if everywhere { String::new() } else { format!("/namespaces/{}", self.namespace) };
        let path = format!("/apis/{GROUP}/{VERSION}{part}/{}", kind.plural());
        let read = self.server.list(&path, "").await;
        read.map_err(|failure| failed(&failure, &format!("listing {}s", kind.name())))
    }

    /// Changes an object as `change` says of what stands there (nothing, when it is so already), and gives it as it is
    /// then. The server checks that it is what was read; what became of a write that was not answered is read before
    /// anything is sent again.
    pub(super) async fn change(
        &self,
        kind: Kind,
        target: &Target,
        change: impl Fn(&Value) -> Option<Value>,
    ) -> anyhow::Result<Value> {
        let path = Self::path(kind, target);
        let write_path = format!("{path}?fieldManager={MANAGER}");
        let what = format!("changing {} {target}", kind.name());
        let mut last = String::new();
        for _ in 0..TRIES {
            let object = self.get(kind, target).await?;
            let Some(mut patch) = change(&object) else { return Ok(object) };
            for key in ["uid", "resourceVersion"] {
                patch["metadata"][key] = object["metadata"][key].clone();
            }
            match self.server.write(Write::Merge(&write_path, &patch)).await {
                Ok(object) => return Ok(object),
                // Nothing changed, or nobody knows: what stands there now says what is still to be done.
                Err(
                    failure @ (Failure::Conflict { .. } | Failure::Unknown { .. } | Failure::Busy { .. }),
                ) => {
                    last = failure.to_string();
                    tokio::time::sleep(BETWEEN).await;
                }
                Err(failure) => return Err(failed(&failure, &what)),
            }
        }
        bail!("{what} has not come about in {TRIES} tries; the last one: {last}")
    }

    /// Sets an annotation of ours on an object, or takes it away.
    pub(super) async fn annotate(
        &self,
        kind: Kind,
        target: &Target,
        annotation: &str,
        value: Option<&str>,
    ) -> anyhow::Result<Value> {
        self.change(kind, target, |object| {
            let stands = object["metadata"]["annotations"][annotation].as_str();
            (stands != value).then(|| json!({ "metadata": { "annotations": { annotation: value } } }))
        })
        .await
    }

    /// Reads an object until `wanted` finds in it what is waited for; nothing when the time is over.
    pub(super) async fn until<T>(
        &self,
        kind: Kind,
        target: &Target,
        deadline: Instant,
        wanted: impl Fn(&Value) -> Option<T>,
    ) -> anyhow::Result<Option<T>> {
        loop {
            match self.server.read(&Self::path(kind, target)).await {
                Ok(object) => {
                    if let Some(found) = wanted(&object) {
                        return Ok(Some(found));
                    }
                }
                // A server that is not well for a moment is asked again.
                Err(Failure::Busy { .. } | Failure::Unknown { .. } | Failure::Behind { .. }) => {}
                Err(failure) => return Err(failed(&failure, &format!("reading {} {target}", kind.name()))),
            }
            if Instant::now() + LOOK > deadline {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Who leads, as far as the leases tell that a person may list: ours are written by the daemon's own name.
    pub(super) async fn leaders(&self) -> String {
        let listed = self.server.list("/apis/coordination.k8s.io/v1/leases", "").await;
        let Ok(leases) = listed else {
            return "you may not list leases, so who leads is not known".to_owned();
        };
        let ours = leases.iter().filter(|lease| {
            let managers = lease["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
            managers.iter().any(|entry| entry["manager"] == crate::kubernetes::managed::OURS)
        });
        let one = |lease: &Value| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (metadata, spec) = (&lease["metadata"], &lease["spec"]);
            let place = format!("{}/{}", text(&metadata["namespace"]), text(&metadata["name"]));
            match text(&spec["holderIdentity"]) {
                holder if holder.is_empty() => format!("nobody holds the lease {place}"),
                holder => {
                    let renewed = text(&spec["renewTime"]);
                    let when = if renewed.is_empty() { renewed } else { format!(", renewed at {renewed}") };
                    format!("{holder} holds the lease {place}{when}")
                }
            }
        };
        let holders: Vec<String> = ours.map(one).collect();
        if holders.is_empty() {
            "no daemon has a lease in this cluster; one that runs alone needs none".to_owned()
        } else {
            holders.join("; ")
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let ends_well = |end: Option<char>| end.is_some_and(|end| end.is_ascii_alphanumeric());
    let is_whole = ends_well(text.chars().next()) && ends_well(text.chars().last());
    is_whole && text.len() <= 253 && text.bytes().all(is_part)
}

/// A failure in words for the person at the terminal, with the next step.
fn failed(failure: &Failure, what: &str) -> anyhow::Error {
    match failure {
        Failure::Forbidden { message } => {
            anyhow!(
                "{what}: you may not: {message}; next: ask for that right (docs/kubernetes/operating.md#the-plugin)"
            )
        }
        Failure::Unauthorized { message } => {
            anyhow!("{what}: the API server does not know you: {message}; next: renew your credentials")
        }
        // A kind that is not known there.
        Failure::Invalid { message } if message.starts_with("404") => anyhow!(
            "{what}: this cluster does not know the resources of {GROUP}; next: install Plimsoll's chart, or \
             `plimsoll crd | kubectl apply --server-side -f -`"
        ),
        Failure::NotSent { message } => anyhow!(
            "{what}: the API server cannot be reached: {message}; next: look at your kubeconfig and `--context`"
        ),
        Failure::NotFound { .. }
        | Failure::Conflict { .. }
        | Failure::Busy { .. }
        | Failure::Denied { .. }
        | Failure::Invalid { .. }
        | Failure::Expired { .. }
        | Failure::Behind { .. }
        | Failure::Unknown { .. } => anyhow!("{what}: {failure}"),
    }
}
