//! `kubernetes.lease`: its times fit together, and nothing stands beside it that cannot be fenced.

use super::read_daemon;
use std::time::Duration;

fn lease(text: &str) -> String {
    format!(
        "apiVersion: plimsoll.dev/v1alpha1\nkind: DaemonConfig\nkubernetes:\n  namespaces: ['*']\n  lease: {{{text}}}\n"
    )
}

fn problems(text: &str) -> String {
    read_daemon(text).expect_err("problems").to_string()
}

#[test]
fn has_the_times_that_others_have_where_nothing_is_said() {
    let config = read_daemon(&lease("namespace: plimsoll")).expect("a good file");
    let lease = config.kubernetes.and_then(|kubernetes| kubernetes.lease).expect("a lease");
    assert_eq!((lease.namespace.as_str(), lease.name.as_str()), ("plimsoll", "plimsoll"));
    assert_eq!(
        [lease.duration, lease.renew_deadline, lease.retry_period, lease.margin()],
        [30, 20, 4, 10].map(Duration::from_secs)
    );
}

#[test]
fn its_times_must_fit_together() {
    let of = |times: &str| problems(&lease(&format!("namespace: a, {times}")));
    let said = of("duration: 20s");
    assert!(said.contains("kubernetes.lease.renewDeadline: is 20s, and `duration` is 20s"), "{said}");
    let said = of("duration: 10s, renewDeadline: 6s, retryPeriod: 2s");
    assert!(said.contains("kubernetes.lease.retryPeriod: is 2s, and `renewDeadline` is 6s"), "{said}");
    assert!(of("duration: 1h").contains("above the most"));
    assert!(read_daemon(&lease("namespace: a, duration: 3s, renewDeadline: 2s, retryPeriod: 500ms")).is_ok());
    assert!(problems(&lease("name: b")).contains("kubernetes.lease.namespace: is missing"));
}

#[test]
fn stands_beside_no_platform_that_nothing_fences() {
    let text = lease("namespace: a")
        + "platforms:\n  vms:\n    kind: exec\n    list: {command: [/bin/true]}\n  play: {kind: sim, seed: 1}\n";
    let said = problems(&text);
    assert!(said.contains("the platform `vms`") && said.contains("the platform `play`"), "{said}");
}
