//! The policy's log.

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something is broken.
    Error,
    /// Something should be looked at.
    Warn,
    /// What happens.
    Info,
    /// What an author needs to find a mistake.
    Debug,
}

/// Writes one line to the policy's log. The host caps lines and bytes for each evaluation; a decision must
/// not depend on it.
#[cfg(all(target_family = "wasm", not(target_env = "p1")))]
pub fn log(level: Level, message: &str) {
    crate::component::log_line(level, message);
}

/// Writes one line to the policy's log. The host caps lines and bytes for each evaluation; a decision must
/// not depend on it.
#[cfg(not(all(target_family = "wasm", not(target_env = "p1"))))]
pub fn log(level: Level, message: &str) {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    };
    eprintln!("{level}: {message}");
}
