//! What a daemon goes on through, and how it says so: signals, refused documents, a journal that cannot be read.

use crate::daemon::{PATIENCE, Running, started};
use crate::lab::TARGET;
use plimsoll_tests::process::{signal, wait_until};
use rustix::process::Signal;

impl Running {
    fn log(&self) -> String {
        std::fs::read_to_string(self.lab.path("daemon.log")).unwrap_or_default()
    }

    async fn logs(&self, line: &str) {
        let logged = wait_until(line, PATIENCE, async || {
            anyhow::ensure!(self.log().contains(line), "{}", self.log());
            Ok(())
        });
        logged.await.expect("a line of the log");
    }

    /// Waits until `/readyz` answers with this code and, if it is no, with this among its reasons.
    async fn is_ready(&self, code: u16, reason: &str) {
        let ready = wait_until("readiness", PATIENCE, async || {
            anyhow::ensure!(
                tokio::net::TcpStream::connect(("127.0.0.1", self.port())).await.is_ok(),
                "not served"
            );
            let (found, body) = self.ask("GET", "/readyz").await;
            anyhow::ensure!(found == code && body.contains(reason), "{found}: {body}");
            Ok(())
        });
        ready.await.unwrap_or_else(|error| panic!("{error:#}\n{}", self.log()));
    }

    fn send(&self, what: Signal) {
        signal(self.process.id(), what).expect("sent");
    }
}

/// A hang-up is how people ask a daemon to read its files again, and what a terminal sends that is closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_reads_the_files_again_and_no_stray_signal_ends_the_daemon() {
    let mut running = started(|_| {});
    running.is_ready(200, "").await;
    for (stray, name) in [
        (Signal::USR1, "SIGUSR1"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::IO, "SIGIO"),
        (Signal::XFSZ, "SIGXFSZ"),
    ] {
        running.send(stray);
        running.logs(&format!("{name}: it asks for nothing here; going on")).await;
    }
    // Nothing tells of what is in a folder that came in the place of the one that is watched.
    std::fs::rename(running.lab.path("targets"), running.lab.path("before")).expect("moved");
    let other = TARGET.replace("name: demo", "name: other");
    running.lab.write("targets/demo.yaml", TARGET);
    running.lab.write("targets/other.yaml", other.replace("name: vms", "name: nowhere"));
    running.send(Signal::HUP);
    running.logs("SIGHUP: reading the daemon's file, the documents and the policies again").await;
    running.is_ready(503, "targets/other.yaml").await;
    assert!(running.process.ended().expect("its state").is_none(), "{}", running.log());
    running.send(Signal::QUIT);
    running.logs("stopping; whatever is under way is in the journal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_relies_on_a_daemon_of_which_a_document_was_refused_or_the_folder_is_gone() {
    let running = started(|_| {});
    running.is_ready(200, "\"ready\":true").await;
    running.logs("a target from now on").await;
    running.lab.write("targets/typo.yaml", TARGET.replace("minReplicas", "minReplica"));
    running.is_ready(503, "refused: ").await;
    running.is_ready(503, "typo.yaml").await;
    std::fs::remove_file(running.lab.path("targets/typo.yaml")).expect("removed");
    running.is_ready(200, "").await;

    std::fs::rename(running.lab.path("targets"), running.lab.path("elsewhere")).expect("moved");
    running.send(Signal::HUP);
    running.is_ready(503, "/targets").await;
    std::fs::rename(running.lab.path("elsewhere"), running.lab.path("targets")).expect("moved");
    running.send(Signal::HUP);
    running.is_ready(200, "").await;

    // What asks for a restart stops nobody.
    let file = std::fs::read_to_string(running.lab.path("plimsoll.yaml")).expect("the daemon's file");
    running.lab.write("plimsoll.yaml", format!("{file}policiesDir: elsewhere\n"));
    running.logs("policiesDir: cannot change while the daemon runs").await;
    running.is_ready(200, "").await;
    running.lab.write("plimsoll.yaml", format!("{file}policyDir: elsewhere\n"));
    running.is_ready(503, "policyDir").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_be_read_is_logged_once_and_nothing_is_called_safe() {
    let running = started(|lab| lab.write("state/journal/default%2Fdemo.journal", "not a journal"));
    running.logs("in trouble: JournalNotRead: ").await;
    let status = || async {
        let (code, body) = running.ask("GET", "/v1/targets/default/demo").await;
        assert_eq!(code, 200, "{body}");
        serde_json::from_str::<serde_json::Value>(&body).expect("JSON")
    };
    for kind in ["Ready", "AbleToScale", "Safe"] {
        let status = status().await;
        let conditions = status["conditions"].as_array().expect("conditions");
        let one = conditions.iter().find(|one| one["type"] == kind).unwrap_or_else(|| panic!("{status:#}"));
        assert_eq!((&one["status"], &one["reason"]), (&false.into(), &"Trouble".into()), "{one}");
        assert!(one["message"].as_str().is_some_and(|why| why.starts_with("JournalNotRead: ")), "{one}");
    }
    // It is tried again, and is no news.
    running.send(Signal::HUP);
    running.logs("SIGHUP: ").await;
    let read =
        std::fs::read_to_string(running.lab.path("state/journal/default%2Fdemo.journal")).expect("the file");
    assert_eq!(read, "not a journal");
    assert_eq!(running.log().matches("in trouble: ").count(), 1, "{}", running.log());
}
