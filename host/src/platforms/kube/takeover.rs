//! The first thing that a new leader does to the object of an unfinished plan: its epoch (`decisions.md` D20). From then
//! on whatever the last leader has still sent meets another version, and whatever it reads tells it that it was deposed.

use super::{ACT_DEADLINE, Kube, parsed, scale};
use crate::kubernetes::Failure;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::cmp::Ordering;

/// How often the object may change between our read and our write. Its status does while pods come and go.
const TRIES: u32 = 5;

impl Kube {
    /// Puts an epoch on the object, whatever it is in the middle of.
    ///
    /// # Errors
    /// Why it is not known to be there; nothing is to be done then. An object that is not there needs none: a late write
    /// names the uid of one that was.
    pub async fn take_over(&self, epoch: u64) -> Result<(), String> {
        match tokio::time::timeout(ACT_DEADLINE, self.put_epoch(epoch)).await {
            Ok(done) => done,
            Err(_) => Err(format!("no end within {} ms", ACT_DEADLINE.as_millis())),
        }
    }

    async fn put_epoch(&self, epoch: u64) -> Result<(), String> {
        let (kind, mut why) = (&self.config.kind.kind, String::new());
        for _ in 0..TRIES {
            let object = match self.server.read(&self.workload()).await {
                Ok(object) => object,
                Err(Failure::NotFound { .. }) => return Ok(()),
                Err(failure) => return Err(format!("reading the {kind}: {failure}")),
            };
            let metadata: ObjectMeta = parsed(Ok(object["metadata"].clone()))?;
            let there = scale::stamp(&metadata)?;
            match there.cmp(&epoch) {
                Ordering::Equal => return Ok(()),
                Ordering::Greater => return Err(scale::deposed(there, epoch)),
                Ordering::Less => {}
            }
            // Whatever came of it shows in the next read.
            if let Err(failure) = self.stamp(&metadata, epoch).await {
                why = format!("stamping the {kind}: {failure}");
                if !matches!(failure, Failure::Conflict { .. } | Failure::Unknown { .. }) {
                    return Err(why);
                }
            }
        }
        Err(why)
    }
}
