//! The command line as its users meet it: what it prints, where, and how it ends.

#[path = "cli/approval.rs"]
mod approval;
#[path = "cli/daemon.rs"]
mod daemon;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/goes_on.rs"]
mod goes_on;
#[path = "cli/lab.rs"]
mod lab;
#[path = "cli/limits.rs"]
mod limits;
#[path = "cli/plan.rs"]
mod plan;
#[path = "cli/policy.rs"]
mod policy;

use lab::Lab;

const COMMANDS: [&str; 13] = [
    "run", "check", "plan", "explain", "status", "pause", "resume", "approve", "cancel", "scale", "audit",
    "policy", "schema",
];

#[test]
fn the_help_lists_every_command_and_the_exit_codes() {
    let lab = Lab::new();
    let help = lab.run(&["--help"]);
    let manual = lab::manual();
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for command in COMMANDS {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command} is missing:\n{}", help.out);
        assert!(
            manual.contains(&format!("| `{command} ")) || manual.contains(&format!("| `{command}`")),
            "docs/cli.md: {command}"
        );
        let own = lab.run(&[command, "--help"]);
        assert_eq!((own.code, own.err.as_str()), (0, ""), "{command}");
        assert!(own.out.contains(&format!("Usage: plimsoll {command}")), "{}", own.out);
    }
    for line in ["  0  fine", "  1  usage or runtime error", "  2  a check, a test or a comparison failed"] {
        assert!(help.out.contains(line), "{line:?} is missing:\n{}", help.out);
    }
    for nested in [["audit", "verify"], ["policy", "eval"], ["policy", "inspect"]] {
        let help = lab.run(&[nested[0], nested[1], "--help"]);
        assert!(help.out.contains("Exit codes: 0"), "{}", help.out);
    }
}

#[test]
fn wrong_usage_ends_with_1_and_says_what_is_wrong() {
    let lab = Lab::new();
    for (args, told) in [
        (&["bogus"][..], "unrecognized subcommand 'bogus'"),
        (&[], "Usage: plimsoll"),
        (&["status", "a b"], "write it as `namespace/name`"),
        (&["plan"], "<TARGET>"),
        (&["plan", "--from", "x.json"], "--to <N>"),
        (&["plan", "default/a", "--to", "-1"], "unexpected argument '-1'"),
        (&["plan", "default/a", "--to", "NaN"], "invalid value 'NaN'"),
        (&["pause"], "<TARGET|--all>"),
        (&["pause", "default/a", "--all"], "cannot be used with"),
        (&["scale", "default/a"], "<N>"),
        (&["scale", "default/a", "3", "--clear"], "cannot be used with"),
        (&["schema", "novel"], "possible values: snapshot, proposal, record, journal, status"),
        (&["status", "-o", "xml"], "possible values: table, json, yaml"),
        (&["explain", "--last", "0"], "0 is not in 1..=10000"),
    ] {
        let output = lab.run(args);
        assert_eq!((output.code, output.out.as_str()), (1, ""), "{args:?}: {}", output.err);
        assert!(output.err.contains(told), "{args:?}: {}", output.err);
    }
}

#[test]
fn without_a_daemon_every_order_says_how_to_start_one() {
    let lab = Lab::new();
    lab.configure();
    for args in [
        &["status"][..],
        &["plan", "default/demo", "--to", "3"],
        &["pause", "--all"],
        &["resume", "default/demo"],
        &["approve", "default/demo"],
        &["cancel", "default/demo"],
        &["scale", "default/demo", "3"],
    ] {
        let output = lab.run(args);
        let expected = "error: no daemon answers at DIR/state/control.sock; start it with `plimsoll run --config \
            DIR/plimsoll.yaml`, or name its file with `--config`\n";
        assert_eq!((output.code, output.out.as_str(), output.err.as_str()), (1, "", expected), "{args:?}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let lab = Lab::new();
    let file = lab::data("five-healthy.json");
    let command = format!(
        "exec 3>&1; {{ {} schema snapshot; echo $? >&3; }} | true",
        lab::quoted(&plimsoll_tests::binary())
    );
    let output = std::process::Command::new("/bin/bash").args(["-c", &command]).output().expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lab.run(&["plan", "--from", &file, "--to", "3"]).code, 0);
}
