//! Documents of targets, as their owners would write them.

use std::fmt::Display;

/// Waits as short as they may be (`decisions.md` D6): the rules are the same, the test is not a day long.
const SHORT_WAITS: [&str; 9] = [
    "hold: 1s",
    "warmup: 1s",
    "leaderStable: 1s",
    "leaderQuiet: 1s",
    "cooldownIn: 1s",
    "cooldownOut: 1s",
    "reverse: 1s",
    "sustain: 1s",
    "fraction: 100%",
];

/// The lines of a policy that nobody hears: only people give the target wishes.
pub const NOBODY: &str = "  policies: [{name: nobody, module: hold.wasm}]\n";

/// A target's document. What is a map is written as YAML on one line.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    /// Its `metadata`.
    pub named: &'a str,
    /// Its `spec.targetRef`.
    pub target: &'a str,
    /// Its `spec.system`.
    pub system: &'a str,
    /// The fewest and the most members.
    pub bounds: (u32, u32),
    /// `dryrun` or `enforce`.
    pub mode: &'a str,
}

impl Document<'_> {
    /// The document, with further lines of its `spec`.
    #[must_use]
    pub fn with(&self, further: &str) -> String {
        let Self { named, target, system, bounds: (min, max), mode } = self;
        format!(
            "apiVersion: plimsoll.dev/v1alpha1
kind: StatefulAutoscaler
metadata: {{{named}}}
spec:
  targetRef: {{{target}}}
  system: {{{system}}}
  minReplicas: {min}
  maxReplicas: {max}
  mode: {mode}
{further}"
        )
    }
}

/// The lines of `spec.safety` with hardly any waits, and further ones.
#[must_use]
pub fn hasty<T: Display>(further: impl IntoIterator<Item = T>) -> String {
    let waits: String = SHORT_WAITS.iter().map(|line| format!("    {line}\n")).collect();
    let further: String = further.into_iter().map(|line| format!("    {line}\n")).collect();
    format!("  safety:\n{waits}{further}")
}

/// The lines of a policy that follows one signal of the source `main`, at once and as far as it goes.
#[must_use]
pub fn following(signal: &str, query: &str, module: &str, settings: &str) -> String {
    format!(
        "  policies: [{{name: {signal}, module: {module}.wasm, settings: {settings}}}]
  signals:
    - {{name: {signal}, source: main, query: '{query}', window: 10s, step: 1s, maxAge: 10s, coverage: 50%, series: {{expect: 1}}}}
  behavior:
    scaleUp: {{stabilizationWindowSeconds: 0, policies: [{{type: Members, value: 4, periodSeconds: 1}}]}}
    scaleDown: {{stabilizationWindowSeconds: 0, policies: [{{type: Members, value: 4, periodSeconds: 1}}]}}
"
    )
}
