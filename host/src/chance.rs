//! Names that nothing else has.

/// Where the kernel tells one.
const RANDOM: &str = "/proc/sys/kernel/random/uuid";

/// A random UUID.
///
/// # Errors
/// When the kernel cannot be asked.
pub(crate) fn uuid() -> std::io::Result<String> {
    Ok(std::fs::read_to_string(RANDOM)?.trim().to_owned())
}
