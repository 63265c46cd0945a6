//! `plimsoll check`.

mod trial;

use super::output::{self, Form, Format};
use super::progress::Progress;
use super::{Exit, block_on};
use crate::collect::Credentials;
use crate::config::{self, DaemonConfig, SignalConfig, TargetConfig};
use crate::policy::{Library, PolicyStatus};
use serde::Serialize;
use std::path::Path;

/// Looks the daemon's file, the targets' documents, their queries and their policies over, and tells everything
/// that is wrong at once, with file, line and what to do. Policies are compiled and loaded in the same confined
/// child in which the daemon runs them. Nothing is changed, and no daemon is needed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing is wrong (warnings are printed), 1 usage or runtime error, 2 something is wrong.

Examples:
  plimsoll check --print-defaults > plimsoll.yaml
  plimsoll check --config plimsoll.yaml
  plimsoll check -o json | jq '.problems[].message'"
)]
pub(super) struct Check {
    /// Print the daemon's file with every key, its default and why.
    #[arg(long, conflicts_with = "print_example")]
    print_defaults: bool,
    /// Print a target's document with every key and what it means.
    #[arg(long)]
    print_example: bool,
    #[command(flatten)]
    form: Form,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Targets that can be used.
    targets: usize,
    /// Policies that can be used.
    policies: usize,
    problems: Vec<Note>,
    warnings: Vec<Note>,
}

/// One thing that is wrong, or likely to be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    file: String,
    /// Counted from 1; 0 for the whole file.
    line: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    path: String,
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hint: String,
    /// All of it, as it is printed.
    text: String,
}

impl Check {
    pub(super) fn run(&self, config: &Path) -> anyhow::Result<Exit> {
        if self.print_defaults || self.print_example {
            let text = if self.print_defaults { config::DEFAULT_DAEMON } else { config::EXAMPLE_TARGET };
            output::print(text)?;
            return Ok(Exit::Fine);
        }
        let report = look(config)?;
        self.form.show(&report, || report.table())?;
        if self.form.output == Format::Table {
            output::complain(&report.summary());
        }
        Ok(if report.problems.is_empty() { Exit::Fine } else { Exit::Failed })
    }
}

fn look(config: &Path) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let daemon = match config::load_daemon(config) {
        Ok(daemon) => daemon,
        Err(problems) => {
            report.problems = problems.iter().map(Note::of).collect();
            let message = "the targets' documents were not looked at: they refer to this file";
            report.warnings.push(Note::new(&config.to_string_lossy(), 0, "", message, "mend it first"));
            return Ok(report);
        }
    };
    report.look_at_files(&daemon);
    let loaded = config::load_targets(&daemon.targets_dir, &daemon);
    report.problems.extend(loaded.problems.iter().map(Note::of));
    report.targets = loaded.targets.len();
    for target in &loaded.targets {
        for signal in &target.signals {
            report.look_at_signal(target, signal);
        }
    }
    look_at_policies(&daemon, &loaded.targets, &mut report)?;
    Ok(report)
}

/// Files that are read with each question, by the key that names them.
fn needed(daemon: &DaemonConfig) -> Vec<(String, &Path)> {
    let tokens = daemon.sources.values().map(|source| {
        let file = match &source.config.credentials {
            Credentials::Bearer { file } => Some(file),
            Credentials::None | Credentials::Basic { .. } => None,
        };
        (format!("sources.{}.tokenFile", source.config.name), file)
    });
    let systems = daemon.systems.values().flat_map(|system| {
        let identity = system.connection.identity.as_ref();
        let files = [
            ("caFile", system.connection.ca_file.as_ref()),
            ("certFile", identity.map(|identity| &identity.cert_file)),
            ("keyFile", identity.map(|identity| &identity.key_file)),
            ("passwordFile", system.connection.login.as_ref().map(|login| &login.password_file)),
        ];
        files.into_iter().map(|(key, file)| (format!("systems.{}.{key}", system.name), file))
    });
    tokens.chain(systems).filter_map(|(key, file)| Some((key, file?.as_path()))).collect()
}

fn look_at_policies(
    daemon: &DaemonConfig,
    targets: &[TargetConfig],
    report: &mut Report,
) -> anyhow::Result<()> {
    let settings = daemon.policy_host.clone();
    let folder = daemon.policies_dir.to_string_lossy().into_owned();
    let opened = {
        let _progress = Progress::begin(format!("loading the policies of {folder}"));
        block_on(async {
            Ok(match Library::open(&daemon.policies_dir, settings).await {
                Ok(library) => Ok((library.status(), library.skipped(), trial::all(&library, targets).await)),
                Err(rejection) => Err(rejection),
            })
        })?
    };
    let (found, skipped, tried) = match opened {
        Ok(opened) => opened,
        Err(rejection) => {
            let hint = "see `policiesDir` in the daemon's file";
            report.problems.push(Note::new(&folder, 0, "", &rejection.to_string(), hint));
            return Ok(());
        }
    };
    for (target, index, message) in tried {
        let Some((target, policy)) = targets.get(target).and_then(|of| Some((of, of.policies.get(index)?)))
        else {
            continue;
        };
        let (place, hint) =
            (format!("spec.policies[{index}].settings"), "the policy refuses them whenever it is asked");
        report.problems.push(Note::new(&target.file, policy.line, &place, &message, hint));
    }
    for (name, rejection) in skipped {
        report.warnings.push(Note::new(&format!("{folder}/{name}"), 0, "", &rejection.to_string(), ""));
    }
    for target in targets {
        for (index, policy) in target.policies.iter().enumerate() {
            let name = &*policy.asked.module;
            let place = format!("spec.policies[{index}].module");
            let (wrong, hint) = match found.iter().find(|status| status.name == name) {
                Some(status) if is_sound(status) => continue,
                Some(status) => {
                    (trouble(status), "`plimsoll policy inspect FILE` tells more of a module".to_owned())
                }
                None => (format!("there is no {name}.wasm in {folder}"), there_is(&found)),
            };
            report.problems.push(Note::new(&target.file, policy.line, &place, &wrong, &hint));
        }
    }
    report.policies = found.iter().filter(|status| is_sound(status)).count();
    let is_used = |name: &str| {
        targets.iter().flat_map(|target| &target.policies).any(|policy| policy.asked.module == name)
    };
    for status in found.iter().filter(|status| !is_sound(status) && !is_used(&status.name)) {
        report.warnings.push(Note::new(
            &format!("{folder}/{}.wasm", status.name),
            0,
            "",
            &trouble(status),
            "no target uses it",
        ));
    }
    Ok(())
}

/// What could have been meant, of a directory that may hold many.
fn there_is(found: &[PolicyStatus]) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<String> =
        found.iter().take(SHOWN).map(|status| format!("{}.wasm", status.name)).collect();
    if found.len() > SHOWN {
        names.push("...".to_owned());
    }
    if names.is_empty() { "it holds no module".to_owned() } else { format!("there is: {}", names.join(", ")) }
}

fn is_sound(status: &PolicyStatus) -> bool {
    status.module.is_some() && status.trouble.is_none()
}

fn trouble(status: &PolicyStatus) -> String {
    status
        .trouble
        .as_ref()
        .map_or_else(|| "is not loaded".to_owned(), |trouble| trouble.rejection.to_string())
}

impl Report {
    /// The sources as the daemon connects to them, and the files that it reads when it asks.
    fn look_at_files(&mut self, daemon: &DaemonConfig) {
        let file = daemon.file.to_string_lossy().into_owned();
        for (name, why) in crate::daemon::assembly::collector(daemon).broken() {
            let hint = "the daemon starts without it, and targets that ask it hold";
            self.problems.push(Note::new(&file, 0, &format!("sources.{name}"), why, hint));
        }
        for (path, needed) in needed(daemon) {
            if let Err(error) = std::fs::File::open(needed) {
                let message = format!("{} cannot be read here: {error}", needed.display());
                self.warnings.push(Note::new(&file, 0, &path, &message, "it is read whenever it is needed"));
            }
        }
    }

    fn look_at_signal(&mut self, target: &TargetConfig, signal: &SignalConfig) {
        let path = format!("spec.signals[{}].query", signal.definition.name);
        for warning in crate::collect::lint(&signal.definition) {
            self.warnings.push(Note::new(&target.file, signal.line, &path, &warning, ""));
        }
    }

    fn table(&self) -> String {
        let line = |word: &str, note: &Note| format!("{word}: {}\n", output::line(&note.text));
        let problems = self.problems.iter().map(|note| line("problem", note));
        problems.chain(self.warnings.iter().map(|note| line("warning", note))).collect()
    }

    fn summary(&self) -> String {
        let count =
            |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
        let policies =
            if self.policies == 1 { "1 policy".to_owned() } else { format!("{} policies", self.policies) };
        format!(
            "{} and {policies} can be used: {}, {}",
            count(self.targets, "target"),
            count(self.problems.len(), "problem"),
            count(self.warnings.len(), "warning")
        )
    }
}

impl Note {
    fn of(problem: &config::Problem) -> Self {
        Self {
            file: problem.file.to_string(),
            line: problem.line,
            path: problem.path.clone(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
            text: problem.to_string(),
        }
    }

    fn new(file: &str, line: usize, path: &str, message: &str, hint: &str) -> Self {
        Self::of(&config::Problem {
            file: file.into(),
            line,
            column: 0,
            path: path.to_owned(),
            message: message.to_owned(),
            hint: hint.to_owned(),
        })
    }
}
