//! What the daemon's file says about an `exec` platform.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// The search path of commands: that of the machine's own programs, whatever the daemon was started with.
pub(super) const COMMAND_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The least time that a command may be given: less is a mistake of units.
const MIN_TIMEOUT: Duration = Duration::from_millis(100);
/// The most time: a plan that waits longer for one command should be seen by a person.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// One of the owner's commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program with its arguments; the program by its absolute path. No shell reads this.
    pub argv: Vec<String>,
    /// How long it may run.
    pub timeout: Duration,
    /// Its environment, besides `PATH` and `PLIMSOLL_*`.
    pub env: BTreeMap<String, String>,
}

/// A platform of the owner's own commands. It comes from the daemon's file and from nowhere else
/// (`decisions.md` D12): who may write here may run programs as the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecConfig {
    /// By which targets refer to it.
    pub name: String,
    /// Tells which slots there are.
    pub list: Command,
    /// Starts the member of a slot; absent where members are only looked at.
    pub add: Option<Command>,
    /// Stops the member of a slot, keeping its volume; absent where members are only looked at.
    pub remove: Option<Command>,
    /// Where commands run.
    pub working_dir: PathBuf,
    /// The namespaces whose targets may use it; `*` is all of them.
    pub namespaces: BTreeSet<String>,
}

/// What is wrong with an [`ExecConfig`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exec platform {name}: {}", problems.join("; "))]
pub struct ExecError {
    /// Of which platform.
    pub name: String,
    /// All problems, each with its key.
    pub problems: Vec<String>,
}

impl ExecConfig {
    /// All problems, each beginning with the key that it is about.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        let all = [("list", Some(&self.list)), ("add", self.add.as_ref()), ("remove", self.remove.as_ref())];
        for (key, command) in all {
            if let Some(command) = command {
                command.problems(key, &mut found);
            }
        }
        if !self.working_dir.is_absolute() {
            found.push("workingDir: must be an absolute path".to_owned());
        }
        if self.namespaces.is_empty() {
            found.push("namespaces: is empty, no target could use this platform; `*` is all".to_owned());
        }
        found
    }

    /// Whether a target, `namespace/name`, may use this platform.
    #[must_use]
    pub fn allows(&self, target: &str) -> bool {
        let namespace = target.split_once('/').map_or("", |(namespace, _)| namespace);
        self.namespaces.contains("*") || self.namespaces.contains(namespace)
    }
}

impl Command {
    fn problems(&self, key: &str, found: &mut Vec<String>) {
        match self.argv.first() {
            None => found.push(format!("{key}.argv: is empty, it needs the program's absolute path")),
            Some(program) if !program.starts_with('/') => found.push(format!(
                "{key}.argv[0]: {} is not an absolute path; write where the program lies, such as \
                 /usr/local/bin/NAME",
                super::listing::clip(program)
            )),
            Some(_) => {}
        }
        if self.argv.iter().any(|part| part.contains('\0')) {
            found.push(format!("{key}.argv: has a NUL character"));
        }
        if !(MIN_TIMEOUT..=MAX_TIMEOUT).contains(&self.timeout) {
            found.push(format!("{key}.timeout: must be from 100 ms to 1 h"));
        }
        for (name, value) in &self.env {
            let is_name = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
            if !is_name {
                found.push(format!("{key}.env: {} cannot be in an environment", super::listing::clip(name)));
            }
            if name.starts_with("PLIMSOLL_") {
                found.push(format!("{key}.env.{name}: names with PLIMSOLL_ are the daemon's"));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end here")]
mod tests {
    use super::*;

    fn command(program: &str) -> Command {
        Command { argv: vec![program.into()], timeout: Duration::from_secs(1), env: BTreeMap::new() }
    }

    #[test]
    fn tells_every_problem_at_once() {
        let mut config = ExecConfig {
            name: "lab".into(),
            list: command("list"),
            add: Some(Command { argv: Vec::new(), ..command("") }),
            remove: Some(Command { timeout: Duration::ZERO, ..command("/bin/true") }),
            working_dir: "here".into(),
            namespaces: BTreeSet::new(),
        };
        let env = [("PLIMSOLL_STEP".into(), "1".into()), ("A=B".into(), String::new())];
        config.add.as_mut().unwrap().env.extend(env);
        let problems = config.problems();
        for key in [
            "list.argv[0]",
            "add.argv:",
            "add.env: A=B",
            "add.env.PLIMSOLL_STEP",
            "remove.timeout",
            "workingDir",
            "namespaces",
        ] {
            assert!(problems.iter().any(|p| p.starts_with(key)), "{key}: {problems:?}");
        }
        assert_eq!(problems.len(), 7);
    }
}
