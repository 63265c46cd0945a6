//! One read of the cluster's objects from the cache: documents, wishes and orders, and whether anything in it is news.
//! Pure.

use crate::config::{Objects, TargetKey, Unseen};
use crate::kubernetes::managed::annotator;
use crate::kubernetes::scaling_plan::{MAX_ORDER, ORDERS_PREFIX};
use crate::kubernetes::wish;
use plimsoll_core::cycle::{Order, Written};
use plimsoll_wire::status::OutsideWish;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Objects of one kind by `namespace/name`, and where they cannot be seen.
#[derive(Clone, Debug, Default)]
pub(in crate::daemon) struct Sight {
    pub(in crate::daemon) objects: BTreeMap<String, Arc<Value>>,
    pub(in crate::daemon) unseen: Unseen,
}

/// What was seen of an autoscaler beside its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::daemon) struct Seen {
    pub(in crate::daemon) uid: String,
    pub(in crate::daemon) generation: Option<i64>,
    /// The wish from outside that it carries.
    pub(in crate::daemon) wish: Option<OutsideWish>,
    /// Who wrote the approval that it carries.
    pub(in crate::daemon) approver: Option<String>,
}

/// One read of the cached objects.
#[derive(Clone, Debug, Default)]
pub(in crate::daemon) struct CachedRead {
    autoscalers: BTreeMap<Arc<str>, (Arc<Value>, Seen)>,
    unseen: Unseen,
    orders: BTreeMap<String, Vec<Written>>,
    plans_unseen: Unseen,
}

impl CachedRead {
    pub(in crate::daemon) fn new(autoscalers: &Sight, plans: &Sight) -> Self {
        let seen =
            |(key, object): (&String, &Arc<Value>)| (Arc::from(key.as_str()), (object.clone(), seen(object)));
        let orders = plans.objects.iter().map(|(key, plan)| (key.clone(), orders(plan)));
        Self {
            autoscalers: autoscalers.objects.iter().map(seen).collect(),
            unseen: autoscalers.unseen.clone(),
            orders: orders.filter(|(_, orders)| !orders.is_empty()).collect(),
            plans_unseen: plans.unseen.clone(),
        }
    }

    /// Whether every object can be seen.
    pub(super) fn is_whole(&self) -> bool {
        self.unseen.0.is_empty() && self.plans_unseen.0.is_empty()
    }

    /// Whether the loop has anything to do about it. A change of a status alone is none: we write most of those.
    pub(super) fn is_news_after(&self, old: &Self) -> bool {
        let same = |one: (&Arc<str>, &(Arc<Value>, Seen)), other: (&Arc<str>, &(Arc<Value>, Seen))| {
            let ((key, (object, seen)), (old_key, (old_object, old_seen))) = (one, other);
            key == old_key
                && (Arc::ptr_eq(object, old_object) || (seen == old_seen && is_same(object, old_object)))
        };
        let (now, before) = (&self.autoscalers, &old.autoscalers);
        let unchanged =
            now.len() == before.len() && now.iter().zip(before).all(|(one, other)| same(one, other));
        !unchanged
            || (&self.unseen, &self.orders, &self.plans_unseen)
                != (&old.unseen, &old.orders, &old.plans_unseen)
    }

    /// The documents, for the configuration.
    pub(in crate::daemon) fn objects(&self) -> Objects {
        let seen = self.autoscalers.values().map(|(object, _)| object.clone()).collect();
        Objects { seen, unseen: self.unseen.clone(), orders_unseen: self.plans_unseen.clone() }
    }

    pub(in crate::daemon) fn autoscaler(&self, name: &str) -> Option<&Seen> {
        self.autoscalers.get(name).map(|(_, seen)| seen)
    }

    /// When a wish came up, as the status has it: the server does not tell of writes through `scale`.
    pub(in crate::daemon) fn noted(&self, name: &str, wish: &OutsideWish) -> Option<String> {
        let (object, _) = self.autoscalers.get(name)?;
        let noted = &object["status"]["externalWish"];
        let is_it = noted["replicas"] == wish.members && noted["manager"] == *wish.who;
        noted["time"].as_str().filter(|_| is_it).map(ToOwned::to_owned)
    }

    pub(in crate::daemon) fn autoscalers(&self) -> impl Iterator<Item = (&Arc<str>, &Seen)> {
        self.autoscalers.iter().map(|(key, (_, seen))| (key, seen))
    }

    /// The orders that stand on a target's plan; none where nobody knows what stands there.
    pub(in crate::daemon) fn plan_orders(&self, key: &TargetKey) -> Option<Vec<Written>> {
        if self.plans_unseen.covers(&key.namespace) {
            return None;
        }
        Some(self.orders.get(&key.to_string()).cloned().unwrap_or_default())
    }
}

fn seen(object: &Value) -> Seen {
    let approve = "plimsoll.dev/approve";
    Seen {
        uid: object["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        generation: object["metadata"]["generation"].as_i64(),
        wish: wish::wish(object),
        approver: object["metadata"]["annotations"][approve].is_string().then(|| annotator(object, approve)),
    }
}

/// Whether two readings of an object are one document.
fn is_same(one: &Value, other: &Value) -> bool {
    one["spec"] == other["spec"] && one["metadata"]["annotations"] == other["metadata"]["annotations"]
}

/// The orders in the annotations of a plan, each with its author.
fn orders(plan: &Value) -> Vec<Written> {
    let one = |name: &str, order: fn(&str) -> Order| {
        let annotation = format!("{ORDERS_PREFIX}{name}");
        let text = plan["metadata"]["annotations"][&annotation].as_str()?.trim();
        if text.len() > MAX_ORDER {
            return None;
        }
        let (name, text, who) = (name.to_owned(), text.to_owned(), annotator(plan, &annotation));
        Some(Written { name, order: order(&text), text, who })
    };
    let approve = one("approve", |text| Order::Approve { content: text.to_owned() });
    let cancel = one("cancel", |_| Order::Cancel);
    let paused = one("paused", |text| Order::Pause { why: text.to_owned() });
    let resume = one("resume", |_| Order::Resume);
    [paused, resume, cancel, approve].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, spec: Value, annotations: Value, status: Value) -> (String, Arc<Value>) {
        let entry = |manager: &str, annotation: &str| {
            let fields = json!({ "f:metadata": { "f:annotations": { format!("f:{annotation}"): {} } } });
            json!({ "manager": manager, "time": "2026-01-01T00:00:00Z", "fieldsV1": fields })
        };
        let object = json!({
            "metadata": {
                "name": name, "namespace": "shop", "uid": "u", "generation": 2, "annotations": annotations,
                "managedFields": [entry("ann", "plimsoll.dev/paused"), entry("bob", "plimsoll.dev/cancel")],
            },
            "spec": spec,
            "status": status,
        });
        (format!("shop/{name}"), Arc::new(object))
    }

    fn sight(objects: Vec<(String, Arc<Value>)>) -> Sight {
        Sight { objects: objects.into_iter().collect(), unseen: Unseen::default() }
    }

    fn key() -> TargetKey {
        TargetKey { namespace: "shop".to_owned(), name: "db".to_owned() }
    }

    fn cached(spec: Value, annotations: Value, status: Value) -> CachedRead {
        CachedRead::new(&sight(vec![object("db", spec, annotations, status)]), &Sight::default())
    }

    #[test]
    fn a_status_is_no_news_and_everything_that_somebody_wrote_is() {
        let before = cached(json!({ "a": 1 }), json!({}), json!({}));
        assert!(!cached(json!({ "a": 1 }), json!({}), json!({ "size": 3 })).is_news_after(&before));
        assert!(cached(json!({ "a": 2 }), json!({}), json!({})).is_news_after(&before));
        assert!(cached(json!({ "a": 1 }), json!({ "x": "y" }), json!({})).is_news_after(&before));
        assert!(CachedRead::default().is_news_after(&before));
        let mut blind = Sight::default();
        blind.unseen.0.insert(None, "forbidden".to_owned());
        assert!(CachedRead::new(&blind, &Sight::default()).is_news_after(&CachedRead::default()));
        assert!(CachedRead::new(&Sight::default(), &blind).is_news_after(&CachedRead::default()));
    }

    #[test]
    fn orders_on_a_plan_are_those_of_whoever_wrote_them() {
        let annotations = json!({
            "plimsoll.dev/paused": " disk swap ", "plimsoll.dev/cancel": "shop-db-p1.2", "other": "x",
            "plimsoll.dev/resume": "1800000000000", "plimsoll.dev/approve": "x".repeat(MAX_ORDER + 1),
        });
        let plans = sight(vec![object("db", json!({}), annotations, json!({}))]);
        let orders = CachedRead::new(&Sight::default(), &plans).plan_orders(&key()).unwrap();
        let shown: Vec<_> = orders.iter().map(|order| (&*order.name, &*order.text, &*order.who)).collect();
        assert_eq!(
            shown,
            [
                ("paused", "disk swap", "ann"),
                ("resume", "1800000000000", "somebody"),
                ("cancel", "shop-db-p1.2", "bob"),
            ]
        );
        assert_eq!(orders[0].order, Order::Pause { why: "disk swap".to_owned() });
    }

    #[test]
    fn the_time_of_a_wish_is_taken_from_the_status_where_it_is_that_wish() {
        let status = json!({ "externalWish": { "replicas": 5, "manager": "kubectl", "time": "2026-01-02T00:00:00Z" } });
        let cached = cached(json!({}), json!({}), status);
        let wish = |members, who: &str| OutsideWish { members, who: who.to_owned(), when: String::new() };
        assert_eq!(cached.noted("shop/db", &wish(5, "kubectl")).as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!(cached.noted("shop/db", &wish(3, "kubectl")), None);
        assert_eq!(cached.noted("shop/db", &wish(5, "an-hpa")), None);
    }

    #[test]
    fn where_plans_cannot_be_seen_nobody_knows_what_stands_on_them() {
        let mut blind = Sight::default();
        assert_eq!(CachedRead::new(&Sight::default(), &blind).plan_orders(&key()), Some(Vec::new()));
        blind.unseen.0.insert(Some("shop".to_owned()), "forbidden".to_owned());
        assert_eq!(CachedRead::new(&Sight::default(), &blind).plan_orders(&key()), None);
    }
}
