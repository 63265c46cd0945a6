//! Reads the files for the first time, when the daemon starts.

use super::Daemon;
use crate::config::Watch;
use std::time::Duration;

/// How often the files are read when the daemon starts, until all have come to rest.
const FIRST_LOOKS: u32 = 10;
/// In which time.
const PATIENCE: Duration = Duration::from_secs(2);

impl Daemon {
    /// Reads the files when the daemon starts: those that were just written have a moment to come to rest.
    pub(super) async fn read_first(&mut self, watch: &mut Watch) {
        for _ in 0..FIRST_LOOKS {
            match self.reload(watch).await.filter(|again| *again < PATIENCE) {
                Some(_) => tokio::time::sleep(PATIENCE / FIRST_LOOKS).await,
                None => return,
            }
        }
    }
}
