//! A gate before the commands of a platform in tests, which makes them misbehave.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What a command of the platform may do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// It never ends.
    Hang,
    /// It succeeds, and prints what nobody asked for.
    Junk,
    /// It takes two seconds more than it must.
    Slow,
}

/// What stands before the platform's commands: it does what a file beside it says, else it is not there.
const GATE: &str = r#"#!/bin/sh
eval "command=\${$#}"
at="${0%/*}/gate-$command"
read -r how 2>/dev/null <"$at" || exec "$@"
rm -f "$at-ended"; : >"$at-began"
case $how in
hang) while :; do sleep 1000; done ;;
junk) echo 'Segmentation fault (core dumped)'; exit 0 ;;
slow) sleep 2; "$@"; status=$?; : >"$at-ended"; exit $status ;;
esac
exec "$@"
"#;

/// Puts into a folder what stands before the platform's commands there.
pub(crate) fn put(home: &Path) -> anyhow::Result<PathBuf> {
    let gate = home.join("gate");
    std::fs::write(&gate, GATE)?;
    std::fs::set_permissions(&gate, std::fs::Permissions::from_mode(0o755))?;
    Ok(gate)
}
