//! An `exec` platform as the daemon's file declares it.

use super::settings::{Command, ExecConfig, Listing, MAX_TIMEOUT, MIN_TIMEOUT};
use super::{Exec, argument_problem, argv_for, is_placeholder};
use crate::platforms::{Kind, Opening, Platform, Settings, Source};
use crate::yaml::problem::{At, Sink, quote};
use crate::yaml::raw::{Field, List, Map, Named, Scalar, raw};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The owner's own commands.
pub(in crate::platforms) static KIND: Kind = Kind {
    word: "exec",
    refers: "Exec",
    about: "Your own commands list, start and stop members: virtual machines, containers, processes.",
    source: Source::File {
        example: "{kind: exec, list: {command: [/usr/local/bin/members, list]}, add: {command: [/usr/local/bin/members, add]}, \
                  remove: {command: [/usr/local/bin/members, remove]}}",
        keys: RawExec::KEYS,
        read,
    },
    part: plimsoll_core::profile::NAMED,
    is_own: false,
    has_claims: false,
    // On a machine that the others do not see.
    unfenced: Some("commands, which nothing stops when leadership is lost"),
    twins: "keep one, name another platform, or give this one's `list` the argument \"{target}\"",
};

impl Settings for ExecConfig {
    fn open(&self, opening: &Opening<'_>) -> anyhow::Result<Box<dyn Platform>> {
        let state = opening.state_dir.join("exec");
        Ok(Box::new(Exec::new(opening.name, self.clone(), opening.lists, state)?))
    }

    fn members_of(&self, target: &str) -> Vec<String> {
        match &self.list {
            // A command that does not hear of the target lists the same for all of them.
            Listing::Each(command) => argv_for(&command.argv, target).unwrap_or_default(),
            Listing::All { .. } => vec![target.to_owned()],
        }
    }

    fn is_watched_only(&self) -> bool {
        self.add.is_none()
    }
}

raw! {
    struct RawExec {
        list: RawCommand = "list",
        list_all: RawListAll = "listAll",
        add: RawCommand = "add",
        remove: RawCommand = "remove",
        working_directory: Scalar = "workingDirectory",
    }
}

raw! {
    struct RawCommand {
        command: List<Scalar> = "command",
        timeout: Scalar = "timeout",
        env: Named<Scalar> = "env",
    }
}

raw! {
    struct RawListAll {
        command: List<Scalar> = "command",
        timeout: Scalar = "timeout",
        env: Named<Scalar> = "env",
        keep: Scalar = "keep",
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// More arguments than this are a script, which belongs into a file.
const MAX_ARGV: usize = 64;
/// More variables than this are a file of settings, which the program can read itself.
const MAX_ENV: usize = 64;

/// Relative paths start at `base`.
fn read(map: &Map<'_>, base: &Path, sink: &mut Sink) -> Arc<dyn Settings> {
    let raw = RawExec::pick(map, sink);
    if raw.add.is_absent() != raw.remove.is_absent() {
        let (there, missing) = if raw.add.is_absent() { ("remove", "add") } else { ("add", "remove") };
        let hint = format!(
            "a platform has both `add` and `remove`, or neither and is only looked at; `{there}` is there"
        );
        sink.add(&raw.at.child(missing), "is missing", hint);
    }
    Arc::new(ExecConfig {
        list: listing(&raw, sink),
        // A machine may have to be made first.
        add: raw.add.get().map(|add| command(add, 5 * MINUTE, sink)),
        remove: raw.remove.get().map(|remove| command(remove, 5 * MINUTE, sink)),
        working_dir: raw.working_directory.path(base, sink).unwrap_or_else(|| base.to_owned()),
    })
}

fn listing(raw: &RawExec, sink: &mut Sink) -> Listing {
    let Some(all) = raw.list_all.get() else {
        // Where it is there and wrong, that is reported already.
        let hint = "write `list: {command: [/path/to/program]}`";
        let list = match &raw.list_all {
            Field::Absent => raw.list.required(&raw.at, "list", hint, sink),
            Field::Bad | Field::Good(_) => raw.list.get(),
        };
        let none = || Command { argv: Vec::new(), timeout: SECOND, env: BTreeMap::new() };
        return Listing::Each(list.map_or_else(none, |list| command(list, 10 * SECOND, sink)));
    };
    if !raw.list.is_absent() {
        let hint = "a platform has a command for one target or one for all: remove one of them";
        sink.add(&all.at, "stands beside `list`", hint);
    }
    let parts = (&all.command, &all.timeout, &all.env);
    let command = called(&all.at, parts, 10 * SECOND, sink);
    let listed = all.command.get().map_or(&[][..], |list| &list.items);
    if let Some(odd) = listed.iter().find(|item| is_placeholder(&item.text)) {
        let message = format!("{} stands for one target", quote(&odd.text));
        sink.add(&odd.at, message, "this command lists all of them at once; remove it");
    }
    // Well below an interval, and far above what it takes to tell a thousand targets.
    let keep = all.keep.wait(5 * SECOND, SECOND..=MINUTE, sink);
    Listing::All { command, keep }
}

fn command(raw: &RawCommand, default: Duration, sink: &mut Sink) -> Command {
    called(&raw.at, (&raw.command, &raw.timeout, &raw.env), default, sink)
}

type RawCall<'a> = (&'a Field<List<Scalar>>, &'a Field<Scalar>, &'a Field<Named<Scalar>>);

fn called(at: &At, raw: RawCall<'_>, default: Duration, sink: &mut Sink) -> Command {
    let (command, timeout, env) = raw;
    let hint = "write the program and its arguments as a list, like `[/usr/local/bin/members, list]`";
    let list = command.required(at, "command", hint, sink);
    let argv: Vec<String> = list.map(|list| argv(list, hint, sink)).unwrap_or_default();
    // An hour: an owner who waits longer for a machine should answer at once and report it in `list`.
    let timeout = timeout.wait(default, MIN_TIMEOUT..=MAX_TIMEOUT, sink);
    Command { argv, timeout, env: environment(env, sink) }
}

/// What the owner adds to a command's environment. Values are fixed here: nothing is expanded.
fn environment(field: &Field<Named<Scalar>>, sink: &mut Sink) -> BTreeMap<String, String> {
    let Some(named) = field.get() else { return BTreeMap::new() };
    if let Some((name, _)) = named.items.get(MAX_ENV) {
        let hint = "put them into a file that the program reads";
        sink.add(&name.at, format!("is one of more than {MAX_ENV} variables"), hint);
    }
    let is_name = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    for (name, _) in &named.items {
        name.quoted(sink);
        if name.text.starts_with("PLIMSOLL_") {
            sink.add(&name.at, "names with `PLIMSOLL_` are the daemon's own", "choose another name");
        } else if !is_name(&name.text) {
            let hint = "letters, digits and `_`, and no digit first";
            sink.add(&name.at, "is not the name of a variable", hint);
        }
    }
    let value = |value: &Scalar, sink: &mut Sink| {
        // An empty value is a value.
        if value.text.is_empty() { String::new() } else { value.text(sink) }
    };
    named.items.iter().take(MAX_ENV).map(|(name, text)| (name.text.clone(), value(text, sink))).collect()
}

fn argv(list: &List<Scalar>, hint: &str, sink: &mut Sink) -> Vec<String> {
    match list.items.first() {
        None => sink.add(&list.at, "is empty", hint),
        Some(program) if !program.text.starts_with('/') => {
            let message = format!("{} is not an absolute path", quote(&program.text));
            sink.add(
                &program.at,
                message,
                "programs are not searched for: write the whole path, from `/` on",
            );
        }
        Some(_) => {}
    }
    list.items.iter().for_each(|argument| argument.quoted(sink));
    if list.items.len() > MAX_ARGV {
        sink.add(&list.at, format!("has more than {MAX_ARGV} arguments"), "put them into a script");
    }
    if let Some(odd) = list.items.iter().find(|item| item.text.contains('\0')) {
        sink.add(&odd.at, "has a zero byte", "no program can be given one; remove it");
    }
    let argv: Vec<String> = list.items.iter().map(|item| item.text.clone()).collect();
    for (at, item) in list.items.iter().enumerate() {
        if let Some(problem) = argument_problem(&argv, at) {
            sink.add(&item.at, problem, "no shell and no program but yours may take it apart");
        }
    }
    argv
}
