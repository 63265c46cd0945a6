//! The policy `target-utilization` as a WASI program.

fn main() -> std::process::ExitCode {
    plimsoll_policy_target_utilization::run()
}
