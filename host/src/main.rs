//! The `plimsoll` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("policy-child") {
        return plimsoll::policy::child::child_main();
    }
    ExitCode::SUCCESS
}
