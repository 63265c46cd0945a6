//! The `plimsoll` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    if std::path::Path::new(&name).file_stem().is_some_and(|name| name == plimsoll::cli::plugin::NAME) {
        return plimsoll::cli::plugin::main();
    }
    // The two modes that the daemon starts itself in come first: neither reads the command line's grammar.
    match args.next() {
        Some(mode) if mode == "policy-child" => plimsoll::policy::child::child_main(),
        Some(mode) if mode == "exec-guard" => plimsoll::platforms::exec::guard_main(args),
        Some(_) | None => plimsoll::cli::main(),
    }
}
