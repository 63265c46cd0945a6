//! What a guest may import, by name.

/// The module of WASI's first version.
pub(crate) const PREVIEW1: &str = "wasi_snapshot_preview1";

/// The functions of WASI preview 1 that are answered without doing anything, each with its parameters:
/// `i` for 32 and `I` for 64 bits. All return an error number.
pub(crate) const INERT: &[(&str, &str)] = &[
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_datasync", "i"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_sync", "i"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("proc_raise", "i"),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

/// The functions of WASI preview 1 that only a file answers: the standard streams are pipes, which have no place to go
/// to. Each with its parameters, and with the streams that it could be asked of. That is what wasmtime answers, and what
/// runtimes (Zig's writers, for one) take as the word to write on without a place.
pub(crate) const UNSEEKABLE: &[(&str, &str, &[i32])] = &[
    ("fd_pread", "iiiIi", &[0]),
    ("fd_pwrite", "iiiIi", &[1, 2]),
    ("fd_seek", "iIii", &[0, 1, 2]),
    ("fd_tell", "ii", &[0, 1, 2]),
];

/// The functions of WASI preview 1 that do something.
pub(crate) const LIVE: &[&str] = &[
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_filestat_get",
    "fd_pread",
    "fd_pwrite",
    "fd_read",
    "fd_seek",
    "fd_tell",
    "fd_write",
    "poll_oneoff",
    "proc_exit",
    "random_get",
    "sched_yield",
];

/// Whether a program may import this function of [`PREVIEW1`].
pub(crate) fn preview1(name: &str) -> bool {
    LIVE.contains(&name) || INERT.iter().any(|(inert, _)| *inert == name)
}

/// Whether a component may import this.
pub(crate) fn component(name: &str) -> bool {
    const PACKAGES: [&str; 5] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/"];
    name == "log"
        || name.starts_with("plimsoll:policy/")
        || name.starts_with("wasi:sockets/")
        || PACKAGES.iter().any(|package| name.starts_with(package))
}
