//! What can be wrong with a module and with an evaluation. Both are values that are recorded and shown; a
//! faulty policy is never an error of the daemon.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$item])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// The stable word for metrics, records and docs.
            #[must_use]
            pub fn kind(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Every word, for documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.kind())
            }
        }
    };
}

words! {
    /// Why a module is not loaded. The version that runs goes on running.
    Flaw {
        /// Not a WebAssembly binary, or not a valid one.
        Malformed = "MALFORMED",
        /// More bytes than its class allows.
        TooLarge = "TOO_LARGE",
        /// Blocks or loops inside one another, or loops over many locals: compile time would explode.
        Nesting = "NESTING",
        /// One function with more code than its class allows.
        FunctionTooLarge = "FUNCTION_TOO_LARGE",
        /// More functions than its class allows.
        TooManyFunctions = "TOO_MANY_FUNCTIONS",
        /// One function with more locals than its class allows.
        TooManyLocals = "TOO_MANY_LOCALS",
        /// More data or element segments than its class allows.
        TooManySegments = "TOO_MANY_SEGMENTS",
        /// More sections than its class allows.
        TooManySections = "TOO_MANY_SECTIONS",
        /// More core modules or instances than a component may have.
        TooManyInstances = "TOO_MANY_INSTANCES",
        /// Starts with more memory than a policy may have.
        MemoryLimit = "MEMORY_LIMIT",
        /// Starts with larger tables than a policy may have.
        TableLimit = "TABLE_LIMIT",
        /// Uses a WebAssembly proposal that is switched off.
        Feature = "FEATURE",
        /// Imports what no policy is given.
        Import = "IMPORT",
        /// Lacks an export of the contract, or has it with another type.
        Export = "EXPORT",
        /// Is a component of another world.
        Contract = "CONTRACT",
        /// Cannot be instantiated: a segment out of range, or a start function that fails.
        Instantiate = "INSTANTIATE",
        /// Compiling takes more time or memory than its class allows.
        CompileLimit = "COMPILE_LIMIT",
        /// The compiler failed.
        CompileFailed = "COMPILE_FAILED",
        /// A compiled artefact that does not fit this engine, or is damaged.
        Artefact = "ARTEFACT",
        /// Not a regular file inside the policy directory.
        NotRegular = "NOT_REGULAR",
        /// The file or the directory cannot be read.
        Unreadable = "UNREADABLE",
        /// A file name that cannot be a policy's name.
        Name = "NAME",
        /// The file is gone.
        Missing = "MISSING",
        /// The manifest beside the module is wrong.
        Manifest = "MANIFEST",
        /// The bytes are not those that the manifest names.
        Digest = "DIGEST",
        /// Does not answer the test cases of its manifest as they say.
        Test = "TEST",
        /// Fails on the last snapshots that were seen.
        Trial = "TRIAL",
        /// Failed beside the running version, before it had taken over.
        Shadow = "SHADOW",
        /// Failed several times in a row after it had been taken.
        RolledBack = "ROLLED_BACK",
        /// More policies than the library holds.
        TooMany = "TOO_MANY",
        /// The child process could not be started or confined.
        Sandbox = "SANDBOX",
    }
}

words! {
    /// Why an evaluation gave no answer. The target holds.
    Fault {
        /// The guest used up its fuel.
        Fuel = "FUEL",
        /// The guest used up its stack.
        Stack = "STACK",
        /// The guest trapped.
        Guest = "GUEST",
        /// The program ended with an exit status other than 0.
        Exit = "EXIT",
        /// The guest wrote more than an answer may have.
        ResultTooLarge = "RESULT_TOO_LARGE",
        /// The answer is not what the contract asks for.
        Decode = "DECODE",
        /// The answer holds a number that cannot be a size.
        OutOfRange = "OUT_OF_RANGE",
        /// The state to keep is too large.
        State = "STATE",
        /// Too many calls of the host.
        HostcallBudget = "HOSTCALL_BUDGET",
        /// A pointer out of the guest's memory.
        BadPointer = "BAD_POINTER",
        /// A fresh instance could not be made.
        Instantiate = "INSTANTIATE",
        /// The evaluation took too long on the wall clock.
        Wall = "WALL",
        /// The child process died.
        ChildDied = "CHILD_DIED",
        /// The child process broke the protocol.
        Protocol = "PROTOCOL",
        /// The snapshot cannot be handed over.
        Input = "INPUT",
        /// No such policy is loaded.
        NotLoaded = "NOT_LOADED",
        /// Too many evaluations wait for this policy.
        Busy = "BUSY",
        /// The child process could not be started or confined.
        Sandbox = "SANDBOX",
    }
}

impl Flaw {
    /// What the author or the owner of the module can do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Malformed => "build a WASI program or a component; docs/policies.md shows how",
            Self::TooLarge
            | Self::FunctionTooLarge
            | Self::TooManyFunctions
            | Self::TooManyLocals
            | Self::TooManySegments
            | Self::TooManySections
            | Self::TooManyInstances
            | Self::CompileLimit => {
                "optimise it for size and strip it; a language with an interpreter needs class interpreter, by `class: interpreter` in the manifest beside it"
            }
            Self::Nesting => {
                "split the function with the deepest loops; a language with an interpreter needs class interpreter, by `class: interpreter` in the manifest beside it"
            }
            Self::MemoryLimit => {
                "link it with less memory to begin with, or raise `memory` in the manifest beside it"
            }
            Self::TableLimit => {
                "it starts with a table that no compiler makes of a policy; look at how it was built"
            }
            Self::Feature => {
                "switch the proposal off in the compiler: threads, tail calls, exceptions, GC and vectors are not given"
            }
            Self::Import => "a policy is given WASI and `log`, and nothing else",
            Self::Export => "build a program with a main function, not a library",
            Self::Contract => "export the world `policy` of policy-sdk/wit/policy.wit",
            Self::Instantiate => "look at what runs before main: constructors, start functions, initial data",
            Self::CompileFailed => {
                "try it with wasmtime of the same version; if it compiles there, report it"
            }
            Self::Artefact => "empty the folder `cache` below `stateDir`",
            Self::NotRegular => "put a regular file there, or a link to one inside the directory",
            Self::Unreadable => "look at its name and its permissions",
            Self::Name => "rename it",
            Self::Missing => "put it back, or take it out of the documents that name it",
            Self::Manifest => "mend the manifest beside the module; docs/policies.md has its keys",
            Self::Digest => "put the module there that the manifest names, or name the one that is there",
            Self::Test => {
                "mend the module, or the case in its manifest; `plimsoll policy eval` shows its answers"
            }
            Self::Trial | Self::Shadow => {
                "ask it with that snapshot: `plimsoll explain --snapshot`, `plimsoll policy eval`"
            }
            Self::RolledBack => "mend the module and put it there under the same name",
            Self::TooMany => "take modules out that no target names",
            Self::Sandbox => "see `policyHost.sandbox` in the daemon's file",
        }
    }
}

/// Why a module is not loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The stable word.
    pub flaw: Flaw,
    /// One line for people, printable.
    pub detail: String,
}

/// Why an evaluation gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable word.
    pub fault: Fault,
    /// One line for people, printable.
    pub detail: String,
}

impl Rejection {
    /// A rejection with its detail, which is cut and escaped.
    pub fn new(flaw: Flaw, detail: impl AsRef<str>) -> Self {
        Self { flaw, detail: one_line(detail.as_ref(), DETAIL_BYTES) }
    }

    /// The stable word for metrics, records and docs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.flaw.kind()
    }
}

impl Failure {
    /// A failure with its detail, which is cut and escaped.
    pub fn new(fault: Fault, detail: impl AsRef<str>) -> Self {
        Self { fault, detail: one_line(detail.as_ref(), DETAIL_BYTES) }
    }

    /// The stable word for metrics, records and docs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.fault.kind()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.flaw, self.detail)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.fault, self.detail)
    }
}

impl std::error::Error for Rejection {}
impl std::error::Error for Failure {}

const DETAIL_BYTES: usize = 512;

/// A guest's text as one printable line of at most about `max` bytes: control characters, terminal escapes and
/// marks that turn the direction of writing are spelled out, so that a log line stays one line and says what
/// it seems to say.
#[must_use]
pub fn one_line(text: &str, max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max));
    for character in text.chars() {
        if line.len() + character.len_utf8() > max {
            line.push('…');
            break;
        }
        if character.is_control() || is_invisible(character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Characters that change how others are shown, without being seen.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_text_stays_one_line() {
        assert_eq!(one_line("a\n\u{1b}[31mb\u{202e}c", 64), "a\\n\\u{1b}[31mb\\u{202e}c");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(one_line("ééé", 4), "éé…");
    }
}
