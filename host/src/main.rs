//! The `plimsoll` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|mode| mode == "exec-guard") {
        return plimsoll::platforms::exec::guard_main(args);
    }
    ExitCode::SUCCESS
}
