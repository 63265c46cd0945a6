//! The settings of an `exec` platform.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The search path of commands: that of the machine's own programs, whatever the daemon was started with.
pub(super) const COMMAND_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The least time that a command may be given: less is a mistake of units.
pub(super) const MIN_TIMEOUT: Duration = Duration::from_millis(100);
/// The most time: a plan that waits longer for one command should be seen by a person.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

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

/// What tells which slots there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// A command that is asked for one target.
    Each(Command),
    /// A command that tells all targets' at once.
    All {
        /// The command.
        command: Command,
        /// For how long further targets get the same answer.
        keep: Duration,
    },
}

impl Listing {
    pub(super) fn command(&self) -> &Command {
        match self {
            Self::Each(command) | Self::All { command, .. } => command,
        }
    }
}

/// A platform of the owner's own commands. It comes from the daemon's file and from nowhere else
/// (`decisions.md` D12): who may write here may run programs as the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecConfig {
    /// Tells which slots there are.
    pub list: Listing,
    /// Starts the member of a slot; absent where members are only looked at.
    pub add: Option<Command>,
    /// Stops the member of a slot, keeping its volume; absent where members are only looked at.
    pub remove: Option<Command>,
    /// Where commands run.
    pub working_dir: PathBuf,
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
        let list = match &self.list {
            Listing::Each(_) => "list",
            Listing::All { .. } => "listAll",
        };
        let all =
            [(list, Some(self.list.command())), ("add", self.add.as_ref()), ("remove", self.remove.as_ref())];
        for (key, command) in all {
            if let Some(command) = command {
                command.problems(key, &mut found);
            }
        }
        if !self.working_dir.is_absolute() {
            found.push("workingDir: must be an absolute path".to_owned());
        }
        found
    }
}

/// What stands for a part of the target's key where it is a whole argument.
const PLACEHOLDERS: [&str; 3] = ["{target}", "{namespace}", "{name}"];
/// Programs that read the argument behind `-c` as a program of its own.
const SHELLS: [&str; 7] = ["ash", "bash", "dash", "fish", "ksh", "sh", "zsh"];

/// What is wrong with an argument that stands for a target, if something is.
#[must_use]
pub fn argument_problem(argv: &[String], at: usize) -> Option<String> {
    let argument = argv.get(at)?;
    let placeholder = PLACEHOLDERS.into_iter().find(|word| argument.contains(word))?;
    if argument != placeholder {
        return Some(format!("{placeholder} is only part of it; write it as an argument of its own"));
    }
    // The nearest argument before it that is no option: a shell, also behind `env` or `sudo`.
    let earlier = argv.get(..at).unwrap_or_default();
    let program = earlier.iter().rev().find(|part| !part.starts_with('-'))?;
    let shell = program.rsplit('/').next().filter(|base| SHELLS.contains(base))?;
    let is_line = earlier.last().is_some_and(|before| before.starts_with('-') && before.ends_with('c'));
    is_line.then(|| {
        format!("{placeholder} would be read by {shell} as a line of commands; write it behind that line")
    })
}

/// Whether an argument stands for a target.
#[must_use]
pub fn is_placeholder(argument: &str) -> bool {
    PLACEHOLDERS.contains(&argument)
}

/// Whether this may be a namespace's or a target's name in an argument: as Kubernetes writes them.
fn is_name(name: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    (1..=253).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
        && is_end(name.as_bytes().first())
        && is_end(name.as_bytes().last())
}

/// A command's arguments for a target, `namespace/name`.
///
/// # Errors
/// When one of them stands for the target and its key has other characters than names have.
pub fn argv_for(argv: &[String], target: &str) -> Result<Vec<String>, String> {
    if !argv.iter().any(|argument| is_placeholder(argument)) {
        return Ok(argv.to_vec());
    }
    let key = target.split_once('/').filter(|(namespace, name)| is_name(namespace) && is_name(name));
    let Some((namespace, name)) = key else {
        return Err(format!(
            "the target's key {} cannot be an argument: it is not a namespace and a name of lower-case letters, \
             digits, `-` and `.`",
            super::listing::clip(target)
        ));
    };
    let filled = |argument: &String| match &**argument {
        "{target}" => target.to_owned(),
        "{namespace}" => namespace.to_owned(),
        "{name}" => name.to_owned(),
        _ => argument.clone(),
    };
    Ok(argv.iter().map(filled).collect())
}

impl Command {
    pub(super) fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

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
        for at in 0..self.argv.len() {
            if let Some(problem) = argument_problem(&self.argv, at) {
                found.push(format!("{key}.argv[{at}]: {problem}"));
            }
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
            list: Listing::Each(command("list")),
            add: Some(Command { argv: Vec::new(), ..command("") }),
            remove: Some(Command { timeout: Duration::ZERO, ..command("/bin/true") }),
            working_dir: "here".into(),
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
        ] {
            assert!(problems.iter().any(|p| p.starts_with(key)), "{key}: {problems:?}");
        }
        assert_eq!(problems.len(), 6);
    }

    fn argv(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|&argument| argument.to_owned()).collect()
    }

    #[test]
    fn a_target_is_a_whole_argument_and_never_a_line_of_commands() {
        let problem = |arguments: &[&str], at| argument_problem(&argv(arguments), at);
        assert_eq!(problem(&["/bin/members", "list", "{target}"], 2), None);
        assert_eq!(problem(&["/bin/sh", "-c", "echo $1", "-", "{target}"], 4), None);
        assert_eq!(problem(&["/bin/members", "{else}"], 1), None);
        for part in ["--target={target}", "{namespace}/{name}", "{name} ", "/var/{target}/x"] {
            assert!(
                problem(&["/bin/members", part], 1).unwrap().contains("an argument of its own"),
                "{part}"
            );
        }
        for line in [["/bin/sh", "-c", "{name}"], ["/usr/bin/bash", "-xc", "{target}"]] {
            assert!(problem(&line, 2).unwrap().contains("a line of commands"), "{line:?}");
        }
        assert!(problem(&["/usr/bin/env", "sh", "-c", "{name}"], 3).unwrap().contains("a line of commands"));
        assert_eq!(problem(&["/bin/members", "-c", "{name}"], 2), None, "no shell");
        assert_eq!(problem(&["/bin/sh", "/bin/members", "-c", "{name}"], 3), None, "the script's own option");
    }

    #[test]
    fn only_a_key_of_names_becomes_an_argument() {
        let each = argv(&["/x", "{namespace}", "{name}", "{target}"]);
        assert_eq!(argv_for(&each, "shop/db-1.eu").unwrap(), ["/x", "shop", "db-1.eu", "shop/db-1.eu"]);
        for odd in [
            "",
            "shop",
            "shop/",
            "/db",
            "a/b/c",
            "shop/-rf",
            "shop/..",
            "shop/d b",
            "shop/d\nb",
            "Shop/db",
            "shop/$(x)",
        ] {
            assert!(argv_for(&each, odd).unwrap_err().contains("cannot be an argument"), "{odd}");
        }
        let none = argv(&["/x", "{else}"]);
        assert_eq!(argv_for(&none, "a b/$(x)").unwrap(), none, "nothing of it is an argument");
    }
}
