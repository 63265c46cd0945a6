//! The `plimsoll` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The two modes that the daemon starts itself in come first: neither reads the command line's grammar.
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(mode) if mode == "policy-child" => plimsoll::policy::child::child_main(),
        Some(mode) if mode == "exec-guard" => plimsoll::platforms::exec::guard_main(args),
        Some(_) | None => plimsoll::cli::main(),
    }
}
