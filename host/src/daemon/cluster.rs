//! Targets that are objects of the cluster. Watches see what their owners and others write there, and wake the loop
//! when something has changed that matters to it.

mod cached;

pub(super) use cached::{CachedRead, Sight};

use super::Daemon;
use crate::config::{DaemonConfig, Kubernetes, Namespaces, Origin, Problems, TargetConfig};
use crate::kubernetes::scaling_plan::{GROUP, VERSION};
use crate::kubernetes::stateful_autoscaler::Moment;
use crate::kubernetes::watch::{Keep, Watched};
use crate::kubernetes::{ApiServer, Failure, scaling_plan, stateful_autoscaler};
use crate::platforms::Workload;
use crate::view::Autoscaler;
use plimsoll_core::cycle::{Event, Order, Written};
use plimsoll_wire::status::OutsideWish;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Several changes in quick succession (`kubectl apply` of a folder) are looked at once; far below the second within
/// which a change is to take effect.
const QUIET: Duration = Duration::from_millis(150);
/// How often the cache is read without a change: nothing announces that a watch has grown too old.
const PACE: Duration = Duration::from_secs(5);
/// How long the first list is waited for when the daemon starts, so that its first reading is whole. A server that
/// takes longer is reported as a trouble, and its objects come later.
const FIRST: Duration = Duration::from_secs(3);

/// The watches of one kind of objects: of all namespaces, or one each.
pub(super) struct Watches(Vec<(Option<String>, Arc<Watched>)>);

/// Where the objects of one kind are: of all namespaces, or one path each.
fn collections(namespaces: &Namespaces, plural: &str) -> Vec<(Option<String>, String)> {
    let root = format!("/apis/{GROUP}/{VERSION}");
    match namespaces {
        Namespaces::All => vec![(None, format!("{root}/{plural}"))],
        Namespaces::Only(names) => names
            .iter()
            .map(|namespace| (Some(namespace.clone()), format!("{root}/namespaces/{namespace}/{plural}")))
            .collect(),
    }
}

/// The names of the targets that are objects of the cluster, for who asks once.
///
/// # Errors
/// When one list cannot be read.
pub(crate) async fn listed(server: &ApiServer, daemon: &DaemonConfig) -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    let Some(open) = daemon.kubernetes.as_ref().filter(|open| open.autoscalers) else { return Ok(names) };
    for (_, path) in collections(&open.namespaces, stateful_autoscaler::PLURAL) {
        for object in server.list(&path, "").await? {
            let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
            names.insert(format!("{}/{}", text("namespace"), text("name")));
        }
    }
    Ok(names)
}

impl Watches {
    fn start(server: &Arc<ApiServer>, namespaces: &Namespaces, plural: &str, keep: Keep) -> Self {
        let start = |(namespace, path): (Option<String>, String)| {
            (namespace, Watched::keeping(server.clone(), &path, "", keep))
        };
        Self(collections(namespaces, plural).into_iter().map(start).collect())
    }

    /// Everything that is seen, and where nothing is.
    pub(super) fn sight(&self) -> Sight {
        let mut sight = Sight::default();
        for (namespace, watched) in &self.0 {
            match watched.view() {
                Ok(view) => sight
                    .objects
                    .extend(view.objects.iter().map(|(key, object)| (key.clone(), object.clone()))),
                Err(why) => {
                    sight.unseen.0.insert(namespace.clone(), why);
                }
            }
        }
        sight
    }
}

/// The cluster, as far as targets come from it. Clones see the same, and each hears of every change.
#[derive(Clone)]
pub(super) struct Cluster {
    /// The cached objects for the loop; none where no target comes from the cluster.
    reads: Option<watch::Receiver<Arc<CachedRead>>>,
    autoscalers: Option<Arc<Watches>>,
}

impl Cluster {
    /// A daemon's without one.
    pub(super) fn none() -> Self {
        Self { reads: None, autoscalers: None }
    }

    /// Begins to watch, and waits a moment for what is there.
    pub(super) async fn watch(server: Option<&Arc<ApiServer>>, open: Option<&Kubernetes>) -> Self {
        let (Some(server), Some(open)) = (server, open) else {
            return Self::none();
        };
        let autoscalers = open.autoscalers.then(|| {
            Arc::new(Watches::start(server, &open.namespaces, stateful_autoscaler::PLURAL, |object| object))
        });
        // Journals are large and not read from here: what stands on their objects is, for targets of files, too.
        let plans = Watches::start(server, &open.namespaces, scaling_plan::PLURAL, |mut plan| {
            if let Some(fields) = plan.as_object_mut() {
                fields.retain(|key, _| key == "metadata");
            }
            plan
        });
        let heard = Arc::new(Notify::new());
        for (_, watched) in autoscalers.iter().flat_map(|watches| &watches.0).chain(&plans.0) {
            let (mut changes, heard) = (watched.changes(), heard.clone());
            tokio::spawn(async move {
                while changes.changed().await.is_ok() {
                    heard.notify_one();
                }
            });
        }
        let watched = autoscalers.clone();
        let read = move || {
            let autoscalers = watched.as_ref().map(|watched| watched.sight()).unwrap_or_default();
            CachedRead::new(&autoscalers, &plans.sight())
        };
        let (sender, mut reads) = watch::channel(Arc::new(read()));
        tokio::spawn(async move {
            loop {
                if tokio::time::timeout(PACE, heard.notified()).await.is_ok() {
                    tokio::time::sleep(QUIET).await;
                }
                let cached = read();
                sender.send_if_modified(|old| {
                    let is_news = cached.is_news_after(old);
                    // The objects are newer in any case; nobody is woken for a status.
                    *old = Arc::new(cached);
                    is_news
                });
                if sender.is_closed() {
                    return;
                }
            }
        });
        let whole = tokio::time::timeout(FIRST, reads.wait_for(|cached| cached.is_whole())).await.is_ok();
        if !whole {
            tracing::warn!(
                "the StatefulAutoscalers of the cluster are not all seen yet; going on without them"
            );
        }
        Self { reads: Some(reads), autoscalers }
    }

    /// Waits until something has changed that matters. May be given up and asked again at any time.
    pub(super) async fn changed(&mut self) {
        let heard = match &mut self.reads {
            Some(reads) => reads.changed().await.is_ok(),
            None => false,
        };
        if !heard {
            std::future::pending::<()>().await;
        }
    }

    /// The watches of autoscalers, where there are any.
    pub(super) fn autoscalers(&self) -> Option<Arc<Watches>> {
        self.autoscalers.clone()
    }

    /// The objects as they are cached now.
    pub(super) fn cached(&self) -> Arc<CachedRead> {
        self.reads.as_ref().map(|reads| reads.borrow().clone()).unwrap_or_default()
    }
}

/// What stands written for a target, as it was handed to it; none before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Handed {
    wish: Option<Option<OutsideWish>>,
    document: Option<Vec<Written>>,
    plan: Option<Vec<Written>>,
}

impl Handed {
    /// What stands there now, at a moment in RFC 3339. What cannot be seen stands as it was.
    fn now(&self, config: &TargetConfig, cached: &CachedRead, moment: &str) -> Self {
        let name = config.key.to_string();
        let seen = cached.autoscaler(&name).filter(|_| config.origin == Origin::Object);
        let wish = seen.and_then(|seen| seen.wish.clone()).filter(|_| config.external_wish);
        let wish = wish.map(|wish| self.dated(wish, cached, &name, moment));
        let is_known = seen.is_some() || config.origin == Origin::File;
        let who = seen.and_then(|seen| seen.approver.clone()).unwrap_or_else(|| "the document".to_owned());
        let approval = |content: &String| Written {
            name: "approve".to_owned(),
            text: content.clone(),
            who: who.clone(),
            order: Order::Approve { content: content.clone() },
        };
        Self {
            wish: if is_known { Some(wish) } else { self.wish.clone() },
            document: Some(config.approve.iter().map(approval).collect()),
            plan: cached.plan_orders(&config.key).or_else(|| self.plan.clone()),
        }
    }

    /// A wish with the time when it came up: the server's word, else when it was first seen.
    fn dated(&self, wish: OutsideWish, cached: &CachedRead, name: &str, moment: &str) -> OutsideWish {
        if !wish.when.is_empty() {
            return wish;
        }
        let before =
            self.wish.iter().flatten().find(|old| (old.members, &old.who) == (wish.members, &wish.who));
        let when = before.map(|old| old.when.clone()).or_else(|| cached.noted(name, &wish));
        OutsideWish { when: when.unwrap_or_else(|| moment.to_owned()), ..wish }
    }

    /// What is to be told of it, after what was handed over before.
    fn events_after(&self, before: &Self) -> Vec<Event> {
        let wish = self.wish.clone().filter(|_| self.wish != before.wish).map(Event::Wished);
        let written = |place: &str, now: &Option<Vec<Written>>, old: &Option<Vec<Written>>| {
            let orders = now.clone().filter(|_| now != old)?;
            Some(Event::Written { place: place.to_owned(), orders })
        };
        let document = written("document", &self.document, &before.document);
        let plan = written("plan", &self.plan, &before.plan);
        [wish, document, plan].into_iter().flatten().collect()
    }
}

impl Daemon {
    /// Hands to each target what is new of what stands written for it, and publishes what became of each object.
    pub(super) fn take_up_objects(&mut self, cached: &CachedRead, problems: &Problems) {
        let configs: BTreeMap<Arc<str>, Arc<TargetConfig>> = self
            .configuration
            .targets
            .iter()
            .map(|(key, config)| (Arc::from(key.to_string()), config.clone()))
            .collect();
        let moment = Moment::of(self.tools.clock.now().wall_ms).0;
        for (name, config) in &configs {
            let Some(target) = self.targets.get_mut(name) else { continue };
            let now = target.handed.now(config, cached, &moment);
            let events = now.events_after(&std::mem::replace(&mut target.handed, now.clone()));
            for event in events {
                self.deliver(name, None, event);
            }
        }
        let mut wrong: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for problem in problems {
            wrong.entry(&problem.file).or_default().push(problem.text());
        }
        let of = |(name, seen): (&Arc<str>, &cached::Seen)| {
            let config = configs.get(name).filter(|config| config.origin == Origin::Object);
            let autoscaler = Arc::new(Autoscaler {
                uid: seen.uid.clone(),
                generation: seen.generation,
                refused: wrong.get(&*crate::config::object_place(name)).map(|wrong| wrong.join("; ")),
                external_wish: config.is_some_and(|config| config.external_wish),
                scale: config.and_then(|config| scale(config)),
            });
            (name.clone(), autoscaler)
        };
        self.published.set_autoscalers(cached.autoscalers().map(of).collect());
    }
}

/// Where a workload tells which pods are its members.
fn scale(config: &TargetConfig) -> Option<String> {
    let Workload { name, kind } = config.platform.settings.workload()?;
    Some(format!("{}/scale", kind.path(&config.key.namespace, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(members: u32) -> OutsideWish {
        OutsideWish { members, who: "an-hpa".to_owned(), when: "then".to_owned() }
    }

    fn kinds(events: &[Event]) -> Vec<String> {
        let kind = |event: &Event| {
            if let Event::Written { place, orders } = event {
                return format!("{place} {}", orders.len());
            }
            let Event::Wished(wish) = event else { return format!("{event:?}") };
            format!("wish {:?}", wish.as_ref().map(|wish| wish.members))
        };
        events.iter().map(kind).collect()
    }

    #[test]
    fn only_what_is_new_is_handed_over_and_what_cannot_be_seen_stays() {
        let first = Handed { wish: Some(Some(wish(5))), document: Some(Vec::new()), plan: None };
        assert_eq!(kinds(&first.events_after(&Handed::default())), ["wish Some(5)", "document 0"]);
        assert_eq!(kinds(&first.events_after(&first)), Vec::<String>::new());
        let undated = OutsideWish { when: String::new(), ..wish(5) };
        let dated = first.dated(undated.clone(), &CachedRead::default(), "n/a", "now");
        assert_eq!(dated.when, "then", "it is the same wish");
        assert_eq!(Handed::default().dated(undated, &CachedRead::default(), "n/a", "now").when, "now");
        let cleared = Handed { wish: Some(None), plan: Some(Vec::new()), ..first.clone() };
        assert_eq!(kinds(&cleared.events_after(&first)), ["wish None", "plan 0"]);
        // Nothing is known of it: nothing is handed over.
        let blind = Handed { plan: None, wish: None, ..first.clone() };
        assert_eq!(kinds(&blind.events_after(&first)), Vec::<String>::new());
    }
}
