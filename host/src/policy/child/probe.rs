//! Native code in the guest's place: it tries what a guest that broke out of WebAssembly would try, and tells
//! how the kernel answered. A test holds it to being refused everywhere.

use crate::policy::frame::Confinement;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

/// Writes one JSON document: the confinement, and for each attempt the error number, or 0 where it succeeded.
pub(super) fn report(out: &mut impl Write, confinement: &Confinement) -> io::Result<()> {
    let attempts = [
        ("open-to-read", errno(std::fs::File::open("/etc/passwd"))),
        ("open-itself", errno(std::fs::File::open("/proc/self/exe"))),
        ("open-to-write", errno(std::fs::File::create("/tmp/plimsoll-probe"))),
        ("list-directory", errno(std::fs::read_dir("/"))),
        ("remove-file", errno(std::fs::remove_file("/tmp/plimsoll-probe"))),
        ("read-link", errno(std::fs::read_link("/proc/self/cwd"))),
        ("connect", errno(TcpStream::connect("127.0.0.1:9"))),
        ("listen", errno(TcpListener::bind("127.0.0.1:0"))),
        ("datagram", errno(UdpSocket::bind("127.0.0.1:0"))),
        ("local-socket", errno(UnixDatagram::unbound())),
        ("run-a-program", errno(Command::new("/bin/true").spawn())),
        ("thread", errno(std::thread::Builder::new().spawn(|| {}))),
        ("signal-others", errno(rustix::process::test_kill_process(rustix::process::Pid::INIT))),
        ("anonymous-file", errno(rustix::fs::memfd_create("probe", rustix::fs::MemfdFlags::empty()))),
        ("raise-limit", errno(raise_limit())),
        ("pipe", errno(rustix::pipe::pipe())),
    ];
    let attempts: serde_json::Map<_, _> =
        attempts.into_iter().map(|(name, errno)| (name.to_owned(), errno.into())).collect();
    let report = serde_json::json!({ "confinement": confinement, "attempts": attempts });
    writeln!(out, "{report}")
}

fn raise_limit() -> rustix::io::Result<()> {
    let wanted = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, wanted)
}

/// The error number; 0 for success, -1 for an error without one.
fn errno<T>(result: Result<T, impl Into<io::Error>>) -> i32 {
    match result {
        Ok(_) => 0,
        Err(error) => error.into().raw_os_error().unwrap_or(-1),
    }
}
