//! What the daemon's own token can do, and what it cannot, asked of the real API server.

use crate::cluster;
use anyhow::Context as _;
use plimsoll_tests::chart::{Release, printed_by};
use plimsoll_tests::cluster::Namespace;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Verb, resource, namespace (the governed one, the release's, or one of nobody's), and whether it may.
const QUESTIONS: &[(&str, &str, Place, bool)] = &[
    ("list", "pods", Place::Governed, true),
    ("watch", "pods", Place::Governed, true),
    ("list", "persistentvolumeclaims", Place::Governed, true),
    ("get", "statefulsets.apps", Place::Governed, true),
    ("patch", "statefulsets.apps", Place::Governed, true),
    ("patch", "statefulsets.apps/scale", Place::Governed, true),
    ("list", "poddisruptionbudgets.policy", Place::Governed, true),
    ("list", "horizontalpodautoscalers.autoscaling", Place::Governed, true),
    ("list", "controllerrevisions.apps", Place::Governed, true),
    ("create", "scalingplans.plimsoll.dev", Place::Governed, true),
    ("update", "scalingplans.plimsoll.dev/status", Place::Governed, true),
    ("patch", "statefulautoscalers.plimsoll.dev", Place::Governed, true),
    ("patch", "statefulautoscalers.plimsoll.dev/status", Place::Governed, true),
    ("create", "events", Place::Governed, true),
    ("get", "nodes", Place::Governed, true),
    ("create", "leases.coordination.k8s.io", Place::Release, true),
    ("update", "leases.coordination.k8s.io/plimsoll", Place::Release, true),
    ("update", "leases.coordination.k8s.io/another", Place::Release, false),
    ("update", "leases.coordination.k8s.io/plimsoll", Place::Governed, false),
    ("delete", "pods", Place::Governed, false),
    ("deletecollection", "pods", Place::Governed, false),
    ("patch", "pods", Place::Governed, false),
    ("create", "pods", Place::Governed, false),
    ("create", "pods/exec", Place::Governed, false),
    ("create", "pods/attach", Place::Governed, false),
    ("create", "pods/portforward", Place::Governed, false),
    ("create", "pods/eviction", Place::Governed, false),
    ("get", "pods/log", Place::Governed, false),
    ("delete", "persistentvolumeclaims", Place::Governed, false),
    ("delete", "statefulsets.apps", Place::Governed, false),
    ("update", "statefulsets.apps", Place::Governed, false),
    ("create", "statefulsets.apps", Place::Governed, false),
    ("patch", "statefulsets.apps/status", Place::Governed, false),
    ("patch", "deployments.apps/scale", Place::Governed, false),
    ("delete", "scalingplans.plimsoll.dev", Place::Governed, false),
    ("create", "statefulautoscalers.plimsoll.dev", Place::Governed, false),
    ("delete", "statefulautoscalers.plimsoll.dev", Place::Governed, false),
    ("get", "secrets", Place::Governed, false),
    ("list", "secrets", Place::Release, false),
    ("get", "configmaps", Place::Release, false),
    ("get", "configmaps/plimsoll-tombstones", Place::Governed, true),
    ("patch", "configmaps/plimsoll-tombstones", Place::Governed, true),
    ("patch", "configmaps/plimsoll-tombstones", Place::Release, false),
    ("patch", "configmaps/another", Place::Governed, false),
    ("get", "configmaps", Place::Governed, false),
    ("delete", "configmaps/plimsoll-tombstones", Place::Governed, false),
    ("impersonate", "users", Place::Governed, false),
    ("impersonate", "serviceaccounts", Place::Governed, false),
    ("create", "serviceaccounts/token", Place::Release, false),
    ("escalate", "roles.rbac.authorization.k8s.io", Place::Governed, false),
    ("bind", "clusterroles.rbac.authorization.k8s.io", Place::Governed, false),
    ("patch", "nodes", Place::Governed, false),
    ("patch", "validatingadmissionpolicies.admissionregistration.k8s.io", Place::Governed, false),
    ("list", "pods", Place::Nobodys, false),
    ("patch", "statefulsets.apps/scale", Place::Nobodys, false),
    ("get", "scalingplans.plimsoll.dev", Place::Nobodys, false),
    ("get", "secrets", Place::Nobodys, false),
];

#[derive(Clone, Copy, Debug)]
enum Place {
    Governed,
    Release,
    Nobodys,
}

/// A workload of which no image is needed, since nobody runs it.
const WORKLOAD: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, labels: {app: db}, annotations: {owner: data}}
spec:
  serviceName: db
  replicas: 0
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "nobody/has:this"}]}
"#;

/// The chart without a daemon: it is about what a daemon could do.
struct Identity {
    release: Release,
    home: Namespace,
    governed: Namespace,
    nobodys: Namespace,
    kubeconfig: PathBuf,
    _folder: tempfile::TempDir,
}

impl Identity {
    fn install() -> anyhow::Result<Option<Self>> {
        let Some(cluster) = cluster()? else { return Ok(None) };
        let (home, governed, nobodys) =
            (Namespace::create(&cluster)?, Namespace::create(&cluster)?, Namespace::create(&cluster)?);
        let rights = json!({ "tombstones": true });
        let values = json!({ "replicas": 0, "namespaces": [governed.name()], "rights": rights });
        let release = Release::install(&home, &values)?;
        let token = home.kubectl(&["create", "token", Release::NAME])?;
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        let administrators = std::fs::read_to_string(cluster.kubeconfig())?;
        let (before, rest) = administrators.split_once("token: ").context("no token in the kubeconfig")?;
        let (_, after) = rest.split_once(" }").context("no end of the token")?;
        std::fs::write(&kubeconfig, format!("{before}token: {} }}{after}", token.trim()))?;
        Ok(Some(Self { release, home, governed, nobodys, kubeconfig, _folder: folder }))
    }

    /// What `kubectl` prints to the daemon's own token.
    fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.home.cluster().command(self.home.cluster().kubectl_program()?);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        printed_by(&mut command, "")
    }

    fn place(&self, place: Place) -> &str {
        match place {
            Place::Governed => self.governed.name(),
            Place::Release => self.home.name(),
            Place::Nobodys => self.nobodys.name(),
        }
    }
}

#[test]
fn its_token_can_do_what_it_must_and_nothing_else() -> anyhow::Result<()> {
    let Some(identity) = Identity::install()? else { return Ok(()) };
    let who = identity.kubectl(&["auth", "whoami", "--output=jsonpath={.status.userInfo.username}"])?;
    assert_eq!(who, identity.release.user());
    let mut wrong = Vec::new();
    for &(verb, resource, place, may) in QUESTIONS {
        let (resource, name) = match resource.split_once('/') {
            Some(("leases.coordination.k8s.io" | "configmaps", _)) => (resource.to_owned(), None),
            Some((resource, sub)) => (resource.to_owned(), Some(format!("--subresource={sub}"))),
            None => (resource.to_owned(), None),
        };
        let mut question = vec!["auth", "can-i", verb, &resource, "--namespace", identity.place(place)];
        question.extend(name.as_deref());
        // It answers with its exit status, too.
        let answer = identity.kubectl(&question).unwrap_or_else(|error| format!("{error:#}"));
        let is_yes = answer.trim() == "yes";
        if is_yes != may {
            wrong.push(format!("{verb} {resource} {name:?} {place:?}: {answer}"));
        }
    }
    println!("{} questions", QUESTIONS.len());
    assert_eq!(wrong, Vec::<String>::new());
    Ok(())
}

/// Verb, resource, and whether who has the cluster's `view` may, and who has its `edit`.
const PEOPLES: &[(&str, &str, bool, bool)] = &[
    ("list", "statefulautoscalers.plimsoll.dev", true, true),
    ("get", "scalingplans.plimsoll.dev", true, true),
    ("patch", "statefulautoscalers.plimsoll.dev", false, true),
    ("patch", "statefulautoscalers.plimsoll.dev --subresource=scale", false, true),
    ("patch", "scalingplans.plimsoll.dev", false, true),
    ("delete", "scalingplans.plimsoll.dev", false, false),
    ("patch", "scalingplans.plimsoll.dev --subresource=status", false, false),
];

#[test]
fn people_see_what_they_may_view_and_give_orders_where_they_may_edit() -> anyhow::Result<()> {
    let Some(identity) = Identity::install()? else { return Ok(()) };
    let place = identity.governed.name();
    for role in ["view", "edit"] {
        let (role_of, user) = (format!("--clusterrole={role}"), format!("--user={place}-{role}"));
        identity.governed.kubectl(&["create", "rolebinding", role, &role_of, &user])?;
    }
    let may = |role: &str, verb: &str, resource: &str| {
        let user = format!("--as={place}-{role}");
        let resource = resource.split(' ');
        let question = ["auth", "can-i", &user, verb].into_iter().chain(resource).collect::<Vec<_>>();
        identity.governed.kubectl(&question).is_ok_and(|said| said.trim() == "yes")
    };
    // The cluster adds our roles to its own a moment after they were made.
    wait_until("the roles are added", || may("edit", "patch", "scalingplans.plimsoll.dev"))?;
    for &(verb, resource, view, edit) in PEOPLES {
        let found = (may("view", verb, resource), may("edit", verb, resource));
        assert_eq!(found, (view, edit), "{verb} {resource}");
    }
    Ok(())
}

#[test]
fn whatever_rights_it_has_it_writes_stamps_and_sizes_only() -> anyhow::Result<()> {
    let Some(identity) = Identity::install()? else { return Ok(()) };
    identity.governed.apply(WORKLOAD)?;
    identity.is_confined()?;
    // What it is for.
    for epoch in ["7", "8"] {
        identity.patch(&format!(r#"{{"metadata":{{"annotations":{{"plimsoll.dev/epoch":"{epoch}"}}}}}}"#))?;
    }
    for members in [1, 2, 1] {
        identity.scale(members)?;
    }
    // What its right to patch would let it do, and the policy does not.
    for what in OTHER_FIELDS {
        let why = refusal(identity.patch(what))?;
        assert!(why.contains("the daemon stamps a workload"), "{what}: {why}");
    }
    for members in [3, 0] {
        let why = refusal(identity.scale(members))?;
        assert!(why.contains("one member at a time, and never the last"), "{members}: {why}");
    }
    // Tombstones come, change and stay.
    for stones in [r#"{"data":{"a.b":"{}"}}"#, r#"{"data":{"a.b":"{\"pod\":\"db-3\"}","a.c":"{}"}}"#] {
        identity.bury(stones)?;
    }
    for what in OTHER_STONES {
        let why = refusal(identity.bury(what))?;
        assert!(why.contains("adds tombstones, and takes none away"), "{what}: {why}");
    }
    // Everybody else is as free as before.
    identity.governed.kubectl(&["scale", "statefulset/db", "--replicas=5"])?;
    identity.governed.kubectl(&["label", "statefulset/db", "more=1"]).map(drop)
}

const OTHER_FIELDS: [&str; 12] = [
    r#"{"metadata":{"labels":{"app":"other"}}}"#,
    r#"{"metadata":{"labels":{"app":null}}}"#,
    r#"{"metadata":{"annotations":{"owner":"me"}}}"#,
    r#"{"metadata":{"annotations":{"owner":null}}}"#,
    r#"{"metadata":{"annotations":{"another":"1"}}}"#,
    r#"{"metadata":{"finalizers":["plimsoll.dev/keep"]}}"#,
    r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"x","uid":"1"}]}}"#,
    r#"{"spec":{"replicas":2}}"#,
    r#"{"spec":{"template":{"metadata":{"labels":{"more":"1"}}}}}"#,
    r#"{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":0}}}}"#,
    r#"{"spec":{"updateStrategy":{"rollingUpdate":{"partition":1}}}}"#,
    r#"{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenScaled":"Delete"}}}"#,
];

const OTHER_STONES: [&str; 4] = [
    r#"{"data":{"a.b":null}}"#,
    r#"{"data":null}"#,
    r#"{"immutable":true}"#,
    r#"{"metadata":{"annotations":{"helm.sh/resource-policy":null}}}"#,
];

#[test]
fn not_even_an_administrators_rights_let_it_delete_or_enter() -> anyhow::Result<()> {
    let Some(identity) = Identity::install()? else { return Ok(()) };
    identity.governed.apply(WORKLOAD)?;
    identity.governed.kubectl(&["create", "secret", "generic", "s", "--from-literal=a=b"])?;
    identity.is_confined()?;
    let account = format!("--serviceaccount={}:{}", identity.home.name(), Release::NAME);
    // In its namespace only, and gone with it.
    identity.governed.kubectl(&[
        "create",
        "rolebinding",
        "by-accident",
        "--clusterrole=cluster-admin",
        &account,
    ])?;
    identity.may_delete()?;
    let asked: [(&[&str], &str); 8] = [
        (&["delete", "statefulset/db"], "deletes nothing"),
        (&["delete", "secret/s"], "deletes nothing"),
        (&["delete", "configmaps", "--all"], "deletes nothing"),
        (&["create", "configmap", "c"], "creates journals, events and its lease"),
        (&["create", "token", "default"], "creates journals, events and its lease"),
        (&["create", "rolebinding", "b", "--clusterrole=view", "--user=x"], "creates journals"),
        (&["label", "secret/s", "a=b"], "changes the size of workloads"),
        (&["label", "serviceaccount/default", "a=b"], "changes the size of workloads"),
    ];
    for (arguments, why) in asked {
        let said = identity.kubectl(&[&["--namespace", identity.governed.name()], arguments].concat());
        let said = refusal(said)?;
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    Ok(())
}

impl Identity {
    fn patch(&self, what: &str) -> anyhow::Result<String> {
        let place = self.governed.name();
        self.kubectl(&["--namespace", place, "patch", "statefulset/db", "--type=merge", "--patch", what])
    }

    fn bury(&self, what: &str) -> anyhow::Result<String> {
        let (place, map) = (self.governed.name(), "configmap/plimsoll-tombstones");
        self.kubectl(&["--namespace", place, "patch", map, "--type=merge", "--patch", what])
    }

    fn scale(&self, members: u32) -> anyhow::Result<String> {
        let (place, what) = (self.governed.name(), format!(r#"{{"spec":{{"replicas":{members}}}}}"#));
        let patch = ["--namespace", place, "patch", "statefulset/db", "--subresource=scale", "--type=merge"];
        self.kubectl(&[&patch[..], &["--patch", &what]].concat())
    }

    /// Waits until the policy is in force, which it is a moment after it was made. Whatever passes meanwhile does no harm,
    /// and what the API server's own rights refuse, because they are as new, is no answer yet.
    fn is_confined(&self) -> anyhow::Result<()> {
        let mut tries = 0;
        wait_until("the policy is in force", || {
            // Another one each time: what is there already changes nothing, and may be written.
            tries += 1;
            let said = self.patch(&format!(r#"{{"metadata":{{"labels":{{"tries":"{tries}"}}}}}}"#));
            said.is_err_and(|error| format!("{error:#}").contains("the daemon stamps a workload"))
        })
    }

    /// Waits until the API server knows of a binding that was just made.
    fn may_delete(&self) -> anyhow::Result<()> {
        let asked = ["auth", "can-i", "delete", "statefulsets", "--namespace", self.governed.name()];
        wait_until("the binding counts", || self.kubectl(&asked).is_ok())
    }
}

/// The API server takes a moment until it acts on what it was told.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        anyhow::ensure!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Why something was refused.
fn refusal(said: anyhow::Result<String>) -> anyhow::Result<String> {
    match said {
        Ok(said) => anyhow::bail!("it passed: {said}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

/// The objects in the cluster that carry the release's name and place, of every kind that there is.
fn left(home: &Namespace, governed: &Namespace) -> anyhow::Result<Vec<String>> {
    let cluster = home.cluster();
    let mut found = Vec::new();
    for scope in ["true", "false"] {
        let kinds = cluster.kubectl([
            "api-resources",
            "--verbs=list",
            "--output=name",
            &format!("--namespaced={scope}"),
        ])?;
        let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
        let mut asked = vec!["get".to_owned(), kinds.join(","), "--ignore-not-found".to_owned()];
        asked.extend(["--selector".to_owned(), "app.kubernetes.io/name=plimsoll".to_owned()]);
        asked.extend([
            "--output=jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}"
                .to_owned(),
        ]);
        if scope == "true" {
            asked.push("--all-namespaces".to_owned());
        }
        let all = cluster.kubectl(&asked)?;
        let ours = |line: &&str| line.contains(home.name()) || line.contains(governed.name());
        found.extend(all.lines().filter(ours).map(str::to_owned));
    }
    Ok(found)
}

#[test]
fn what_it_installed_is_gone_when_it_is_taken_away() -> anyhow::Result<()> {
    let Some(identity) = Identity::install()? else { return Ok(()) };
    let Identity { release, home, governed, .. } = identity;
    let journal = plimsoll::kubernetes::scaling_plan::blank(governed.name(), "db");
    governed.apply(&journal.to_string())?;
    let before = left(&home, &governed)?;
    assert!(before.len() > 10, "{before:#?}");
    release.upgrade(&json!({ "replicas": 0, "namespaces": [governed.name(), home.name()] }))?;
    release.upgrade(&json!({ "replicas": 0, "namespaces": ["*"] }))?;
    release.uninstall()?;
    // Who was removed for good is still true for whoever comes back.
    assert_eq!(left(&home, &governed)?, [format!("ConfigMap {}/plimsoll-tombstones", governed.name())]);
    // What was done stays on record until a person takes it away.
    governed.kubectl(&["delete", "scalingplan/db", "--wait=false"])?;
    assert_eq!(governed.field("scalingplan/db", ".metadata.finalizers[0]")?, "plimsoll.dev/journal");
    let free = r#"{"metadata":{"finalizers":null}}"#;
    governed.kubectl(&["patch", "scalingplan/db", "--type=merge", "--patch", free])?;
    Ok(())
}
