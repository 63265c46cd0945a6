//! What `spec.safety` may hold: the table of its parameters as a form.

use super::{Kind, LIMITS, Limit, MAX_NAMES, RawSafety};
use crate::yaml::form::{self, Form};
use crate::yaml::value::MAX_TEXT;
use plimsoll_wire::safety::Safety;
use std::time::Duration;

impl RawSafety {
    /// What may be written: the table as a form.
    pub(in crate::config) fn form() -> Form {
        let usual = Safety::default();
        let wait = |key, ms| (key, Duration::from_millis(ms));
        let fresh =
            form::not_longer(wait("directAge", usual.direct_age_ms), wait("maxAge", usual.max_age_ms));
        let mut form = form::map(LIMITS.iter().map(|limit| (limit.key, limit.form()))).rule(
            &fresh,
            "`directAge` is longer than `maxAge`: what is destroyed needs fresher facts than what is admitted; set \
             `directAge` to `maxAge` or less",
        );
        for (key, usual_ms) in [("cooldownIn", usual.cooldown_in_ms), ("cooldownOut", usual.cooldown_out_ms)]
        {
            let message = format!(
                "`reverse` is shorter than `{key}`: a change of direction waits at least as long as a change; raise \
                 `reverse` or lower the cooldown"
            );
            let rule = form::not_longer(wait(key, usual_ms), wait("reverse", usual.reverse_ms));
            form = form.rule(&rule, &message);
        }
        form
    }
}

impl Limit {
    fn form(&self) -> Form {
        let form = match self.kind {
            Kind::Wait(bounds) => {
                form::duration(Duration::from_millis(bounds.floor)..=Duration::from_millis(bounds.ceiling))
            }
            Kind::Bytes(bounds) => form::bytes(bounds.floor..=bounds.ceiling),
            Kind::Ratio(bounds) => form::ratio(bounds.floor..=bounds.ceiling),
            Kind::Count(bounds) => form::whole(bounds.floor..=bounds.ceiling),
            Kind::Switch(_) | Kind::ProfileSwitch(_) => form::switch(),
            Kind::Names(_) => form::list(form::text(MAX_TEXT), MAX_NAMES),
        };
        let bounds =
            self.bounds_text().map(|(least, most)| format!(", from {least} to {most}")).unwrap_or_default();
        form.doc(&format!("{} {}; {} by default{bounds}.", self.doc, self.rule, self.default_text()))
    }
}
