//! Every number that bounds a policy, with the reason for it. Codes such as W12 name rows of the table of
//! hostile inputs, which `tests/tests/sandbox.rs` runs.

use serde::{Deserialize, Serialize};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// How much a module may be and take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// What a compiler of Rust, C, Go, Zig, ... makes. The default.
    #[default]
    Compiled,
    /// A module that carries an interpreter (Python, JavaScript). By the owner's choice, never guessed.
    Interpreter,
}

impl Class {
    /// The word in manifests and on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Compiled => "compiled",
            Self::Interpreter => "interpreter",
        }
    }
}

/// What one evaluation may take. An owner can change these for a policy within [`Limits::ceiling`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Units of fuel; a tight loop burns a million in about a millisecond.
    pub fuel: u64,
    /// Bytes of all linear memories together.
    pub memory_bytes: u64,
    /// Milliseconds on the wall clock after which the child is killed. The backstop; fuel is the bound.
    pub wall_ms: u64,
}

impl Limits {
    /// The limits of a class unless its manifest says otherwise.
    #[must_use]
    pub fn of(class: Class) -> Self {
        match class {
            // 50 M units are about 50 ms of compute. 32 MiB: Go starts with 4 to 8.
            Class::Compiled => Self { fuel: 50_000_000, memory_bytes: 32 * MIB, wall_ms: 2_000 },
            // An interpreter spends 4 to 12 million units on a policy of a few lines.
            Class::Interpreter => Self { fuel: 500_000_000, memory_bytes: 128 * MIB, wall_ms: 5_000 },
        }
    }

    /// What no manifest and no daemon's file can exceed.
    #[must_use]
    pub fn ceiling() -> Self {
        Self { fuel: 5_000_000_000, memory_bytes: 512 * MIB, wall_ms: 10_000 }
    }
}

/// What the owner allows the modules of one class (`policyHost` in the daemon's file).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes of the file.
    pub module_bytes: u64,
    /// Seconds of processor time for compiling.
    pub compile_cpu_s: u64,
    /// Bytes of address space for compiling.
    pub compile_bytes: u64,
    /// What an evaluation may take, unless the manifest beside the module says otherwise.
    pub limits: Limits,
}

impl Allowance {
    /// What a class is allowed where the owner says nothing (`decisions.md` D15).
    #[must_use]
    pub fn of(class: Class) -> Self {
        let (module_bytes, compile_cpu_s, compile_bytes) = match class {
            // Go (3.4 MB) takes 12 s on a good processor and 20 s on a poor one; that one may be three times as slow.
            // It takes 1.2 GiB of address space, of which 0.75 GiB are resident.
            Class::Compiled => (8 * MIB, 60, 1536 * MIB),
            // Python (18 MB) takes half a minute.
            Class::Interpreter => (32 * MIB, 240, 3 * GIB),
        };
        Self { module_bytes, compile_cpu_s, compile_bytes, limits: Limits::of(class) }
    }

    /// What no owner can exceed: twice the largest module that was measured, and as long as a person waits for
    /// a new version to be taken.
    #[must_use]
    pub fn ceiling() -> Self {
        Self {
            module_bytes: 64 * MIB,
            compile_cpu_s: 600,
            compile_bytes: 16 * GIB,
            limits: Limits::ceiling(),
        }
    }
}

/// What the owner allows the modules of both classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowances {
    /// For what compilers make.
    pub compiled: Allowance,
    /// For what carries an interpreter.
    pub interpreter: Allowance,
}

impl Allowances {
    /// That of a class.
    #[must_use]
    pub fn of(&self, class: Class) -> Allowance {
        match class {
            Class::Compiled => self.compiled,
            Class::Interpreter => self.interpreter,
        }
    }
}

impl Default for Allowances {
    fn default() -> Self {
        Self { compiled: Allowance::of(Class::Compiled), interpreter: Allowance::of(Class::Interpreter) }
    }
}

/// What a module may look like and what compiling it may take. Fixed for a class, but for what an [`Allowance`]
/// says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the file (W08).
    pub module_bytes: u64,
    /// Blocks inside one another (W13). Go has 549, CPython 781.
    pub nesting: u32,
    /// Loops inside one another (W12): real code has 6, and compile time grows with the cube.
    pub loops: u32,
    /// Greatest product of loop depth and locals in one function, what live ranges cost.
    pub loop_locals: u64,
    /// Bytes of one function's code (W15, W17). CPython has one of 427 KB.
    pub function_bytes: u64,
    /// Functions of all core modules together (W16).
    pub functions: u64,
    /// Locals of one function, parameters included (W19).
    pub locals: u64,
    /// Data and element segments together (W22). Go has 36 837.
    pub segments: u64,
    /// Sections, custom ones included (W10).
    pub sections: u64,
    /// Elements of one table at the start (W28).
    pub table_elements: u64,
    /// Core modules in a component, and core instances (`decisions.md` D15).
    pub core_instances: u64,
    /// Seconds of processor time for compiling (W20).
    pub compile_cpu_s: u64,
    /// Milliseconds on the wall clock for compiling: a busy machine must not make a good module fail.
    pub compile_wall_ms: u64,
    /// Bytes of address space of the child that compiles the largest module.
    pub compile_space_bytes: u64,
    /// Bytes of the compiled artefact.
    pub artefact_bytes: u64,
    /// Bytes of stack for the guest (W33, W34).
    pub stack_bytes: usize,
}

impl Bounds {
    /// The bounds of a class where the owner says nothing.
    #[must_use]
    pub fn of(class: Class) -> Self {
        Self::allowed(class, &Allowance::of(class))
    }

    /// The bounds of a class of which so much is allowed.
    #[must_use]
    pub fn allowed(class: Class, allowance: &Allowance) -> Self {
        let module_bytes = allowance.module_bytes;
        let compile_cpu_s = allowance.compile_cpu_s;
        // Four times the processor time: so busy may the machine be.
        let compile_wall_ms = compile_cpu_s.saturating_mul(4_000);
        match class {
            Class::Compiled => Self {
                module_bytes,
                nesting: 1_000,
                loops: 64,
                loop_locals: 20_000,
                function_bytes: 256 * KIB,
                functions: 20_000,
                locals: 5_000,
                segments: 50_000,
                sections: 1_000,
                table_elements: 50_000,
                core_instances: 100,
                compile_cpu_s,
                compile_wall_ms,
                compile_space_bytes: allowance.compile_bytes,
                artefact_bytes: 64 * MIB,
                stack_bytes: 512 << 10,
            },
            Class::Interpreter => Self {
                module_bytes,
                nesting: 2_000,
                loops: 64,
                loop_locals: 100_000,
                function_bytes: 1024 * KIB,
                functions: 100_000,
                locals: 20_000,
                segments: 100_000,
                sections: 5_000,
                table_elements: 200_000,
                core_instances: 100,
                compile_cpu_s,
                compile_wall_ms,
                compile_space_bytes: allowance.compile_bytes,
                artefact_bytes: 192 * MIB,
                stack_bytes: 1 << 20,
            },
        }
    }
}

/// Bytes of address space for compiling a module of so many bytes, within what its class allows: a small module that
/// wants much is a bomb, and is ended before it takes what another one needs. Go takes 340 times its size.
#[must_use]
pub fn compile_space(module_bytes: u64, bounds: &Bounds) -> u64 {
    COMPILE_BASE_BYTES
        .saturating_add(module_bytes.saturating_mul(COMPILE_FACTOR))
        .min(bounds.compile_space_bytes)
}

/// Address space of the child that compiles before it has read a module, twice over.
const COMPILE_BASE_BYTES: u64 = 256 * MIB;
/// Address space a byte of the module.
const COMPILE_FACTOR: u64 = 512;
/// Modules that are compiled at a time: a good one beside one that takes all its time.
pub const COMPILE_SLOTS: usize = 2;
/// Bytes that all compiling leaves of the memory that this process and its children may have: the daemon, and the
/// children that evaluate.
pub const COMPILE_LEAVES_BYTES: u64 = 512 * MIB;
/// Bytes of compiled code that is kept of modules that are gone: a rollback by hand finds it.
pub const CACHE_SPARE_BYTES: u64 = 256 * MIB;
/// Files of the cache that are kept of modules that are gone.
pub const CACHE_SPARE_FILES: usize = 64;
/// Bytes of an answer (W47).
pub const ANSWER_BYTES: usize = 64 << 10;
/// Bytes of the state that a policy may keep (W63).
pub const STATE_BYTES: usize = 16 << 10;
/// Bytes of a reason's sentence; what is longer is cut (W55).
pub const MESSAGE_BYTES: usize = 1 << 10;
/// Bytes of log an evaluation; what is longer is cut.
pub const LOG_BYTES: usize = 64 << 10;
/// Lines of log an evaluation.
pub const LOG_LINES: usize = 1_000;
/// Calls of the host an evaluation (W57): 50 M units of fuel would buy 12 million.
pub const HOST_CALLS: u32 = 10_000;
/// Random bytes an evaluation: each costs the host work that fuel does not see.
pub const RANDOM_BYTES: u64 = 64 << 10;
/// Depth of an answer's JSON (W49).
pub const ANSWER_DEPTH: usize = 32;
/// Bytes of a snapshot as JSON: 1 000 members with all their facts are about 4 MB.
pub const SNAPSHOT_BYTES: usize = 16 << 20;
/// Bytes of a manifest: a few test cases with their snapshots inline.
pub const MANIFEST_BYTES: u64 = 128 << 10;
/// Test cases of a manifest: each costs one evaluation before a version takes over.
pub const CASES: usize = 64;
/// Bytes of all snapshots that the test cases of one manifest name.
pub const CASE_BYTES: u64 = SNAPSHOT_BYTES as u64;
/// Evaluations in shadow that a manifest may ask for: a week of one every fifteen seconds.
pub const SHADOW: u32 = 40_320;
/// Bytes of log that a policy may write at once, whatever it wrote before: sixteen full logs.
pub const LOG_BURST_BYTES: u64 = 1 << 20;
/// Bytes of log that a policy may write a day (W59). A full log every cycle would be 360 MiB.
pub const LOG_DAY_BYTES: u64 = 50 << 20;
/// Address space of the child that evaluates, on top of the guest's memory and its code.
pub const EVALUATE_SPACE_BYTES: u64 = 512 * MIB;
/// Milliseconds in which a child must have confined itself and said so.
pub const START_WALL_MS: u64 = 10_000;
/// Milliseconds in which a child must have loaded an artefact and made a first instance.
pub const LOAD_WALL_MS: u64 = 20_000;
