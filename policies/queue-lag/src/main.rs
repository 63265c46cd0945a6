//! The policy `queue-lag` as a WASI program.

fn main() -> std::process::ExitCode {
    plimsoll_policy_queue_lag::run()
}
