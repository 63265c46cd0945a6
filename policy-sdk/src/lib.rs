//! What the author of a Plimsoll policy needs.
//!
//! A policy turns one [`Snapshot`] of one target into one [`Proposal`], or into a [`Refusal`] when it cannot
//! say. It is a pure function: what it needs, the snapshot holds, and what it wants to remember, it returns as
//! `state`. Whatever it proposes, the invariants of the host have the last word.
//!
//! ```
//! use plimsoll_policy_sdk::{Manifest, Policy, Proposal, Refusal, Snapshot, hold, wish};
//!
//! struct OneMore;
//!
//! impl Policy for OneMore {
//!     fn describe() -> Manifest {
//!         Manifest::new("one-more", env!("CARGO_PKG_VERSION"), "Wishes for one member more than there are.")
//!     }
//!
//!     fn evaluate(input: &Snapshot) -> Result<Proposal, Refusal> {
//!         match input.sizes.members.value() {
//!             Some(size) => Ok(wish(size + 1, "OneMore", "there is always room for one more")),
//!             None => Ok(hold("UnknownSize", "nobody knows how many members there are")),
//!         }
//!     }
//! }
//!
//! plimsoll_policy_sdk::export!(OneMore);
//!
//! # fn main() {
//! use plimsoll_policy_sdk::build::snapshot;
//! let answer = OneMore::evaluate(&snapshot().members(3).build());
//! assert_eq!(answer.map(|proposal| proposal.sizes.members), Ok(Some(4)));
//! # }
//! ```
//!
//! [`export!`] makes the crate both kinds of policy that the host runs: a component (built for
//! `wasm32-unknown-unknown` and wrapped, or for `wasm32-wasip2`) and, with a `src/main.rs` that calls the
//! generated `run`, a WASI program (`wasm32-wasip1`). `policies/README.md` shows both.

pub mod behavior;
pub mod build;
#[cfg(all(target_family = "wasm", not(target_env = "p1")))]
#[doc(hidden)]
pub mod component;
pub mod figures;
mod log;
pub mod program;
pub mod settings;

pub use log::{Level, log};
pub use plimsoll_wire::proposal::Reason;
pub use plimsoll_wire::size::{Bounds, Dimension, Leg, Sizes};
pub use plimsoll_wire::{
    Answer, FORMAT_VERSION, Fact, Gap, Proposal, Refusal, Snapshot, journal, lag, snapshot,
};
pub use settings::Settings;

/// What every policy does.
pub trait Policy {
    /// Says what the policy is. Called once after loading, never while a decision is made.
    fn describe() -> Manifest;

    /// Turns a snapshot into a proposal. The same snapshot must give the same answer on every machine.
    ///
    /// # Errors
    /// A refusal, when the policy cannot say: the target holds.
    fn evaluate(input: &Snapshot) -> Result<Proposal, Refusal>;
}

/// What a policy is and needs.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// A short name in kebab-case.
    pub name: String,
    /// Of the policy, as in semantic versioning.
    pub version: String,
    /// One sentence for people.
    pub description: String,
    /// Names of entries of `facts` without which the policy refuses.
    pub needs: Vec<String>,
    /// JSON Schema of the policy's settings; `null` if it has none.
    pub settings_schema: serde_json::Value,
}

impl Manifest {
    /// A policy without needs and settings.
    #[must_use]
    pub fn new(name: &str, version: &str, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            description: description.to_owned(),
            needs: Vec::new(),
            settings_schema: serde_json::Value::Null,
        }
    }

    /// The same with a JSON Schema of its settings.
    #[must_use]
    pub fn settings(mut self, schema: serde_json::Value) -> Self {
        self.settings_schema = schema;
        self
    }
}

/// A wish for a number of members. Signals and state are added by assignment.
#[must_use]
pub fn wish(members: u32, code: &str, message: impl Into<String>) -> Proposal {
    wish_sizes(Sizes::of_members(members), code, message)
}

/// A wish for sizes in several dimensions, such as bytes of memory for each member.
#[must_use]
pub fn wish_sizes(sizes: Sizes, code: &str, message: impl Into<String>) -> Proposal {
    Proposal { sizes, ..hold(code, message) }
}

/// A proposal that leaves everything as it is.
#[must_use]
pub fn hold(code: &str, message: impl Into<String>) -> Proposal {
    Proposal { reason: reason(code, message), ..Proposal::default() }
}

/// A refusal: the policy cannot say.
#[must_use]
pub fn refusal(code: &str, message: impl Into<String>) -> Refusal {
    Refusal { reason: reason(code, message) }
}

fn reason(code: &str, message: impl Into<String>) -> Reason {
    Reason { code: code.to_owned(), message: message.into() }
}

/// Asks a policy, after the check that no policy should have to make itself: a snapshot of another version
/// is refused, because its fields may mean something else.
///
/// # Errors
/// The policy's refusal, or that of the version.
pub fn ask<P: Policy>(input: &Snapshot) -> Result<Proposal, Refusal> {
    if input.format_version != FORMAT_VERSION {
        let (got, want) = (input.format_version, FORMAT_VERSION);
        let message = format!("the snapshot has version {got}, this policy reads version {want}");
        return Err(refusal("UnknownFormat", message));
    }
    P::evaluate(input)
}

/// Makes a policy of a type that implements [`Policy`].
///
/// Generates `run`, which `src/main.rs` calls to be a WASI program, and, for targets that make components,
/// the exports of the world `plimsoll:policy/policy`.
#[macro_export]
macro_rules! export {
    ($policy:ident) => {
        /// Runs this policy as a program: a snapshot on standard input, its answer on standard output.
        #[must_use]
        pub fn run() -> std::process::ExitCode {
            $crate::program::run::<$policy>()
        }

        #[cfg(all(target_family = "wasm", not(target_env = "p1")))]
        #[allow(unsafe_code, reason = "the exports of a component are raw functions")]
        const _: () = {
            struct Exported;
            impl $crate::component::Guest for Exported {
                fn describe() -> $crate::component::Manifest {
                    $crate::component::describe::<$policy>()
                }
                fn evaluate(
                    input: $crate::component::Snapshot,
                ) -> Result<$crate::component::Proposal, $crate::component::Refusal> {
                    $crate::component::evaluate::<$policy>(input)
                }
            }
    $crate::component::export_component!(Exported with_types_in $crate::component::bindings);
        };
    };
}
