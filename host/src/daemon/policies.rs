//! Tells the policy library which targets name which policies, and collects what is wrong with them.

use super::Daemon;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Daemon {
    /// Says which targets name which policies.
    pub(super) fn name_policies(&self) {
        let mut users: BTreeMap<String, BTreeSet<Arc<str>>> = BTreeMap::new();
        for (key, target) in &self.targets {
            for policy in &target.state.spec().policies {
                users.entry(policy.module.clone()).or_default().insert(key.clone());
            }
        }
        self.tools.library.name_users(users);
    }

    /// What is wrong with the policies' directory, and with policies that targets name.
    pub(super) fn policy_troubles(&self) -> Vec<String> {
        let mut lines = self.published.stopping_policies().0;
        let directory = self.published.policy_directory();
        lines.extend(directory.map(|it| {
            format!("the policies' directory: {}; what runs goes on, and nothing new is taken", it.rejection)
        }));
        lines
    }
}
