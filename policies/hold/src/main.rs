//! The policy `hold` as a WASI program.

fn main() -> std::process::ExitCode {
    plimsoll_policy_hold::run()
}
