//! The guest `echo` as a WASI program.

fn main() -> std::process::ExitCode {
    plimsoll_guest_echo::run()
}
