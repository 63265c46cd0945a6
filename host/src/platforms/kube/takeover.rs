//! Takes over an unfinished plan: a new leader first stamps its epoch on the plan's workload (`decisions.md` D20). Writes
//! that the last leader sent before are then refused by the object's version, and its next read shows the later epoch.

use super::{ACT_DEADLINE, Kube, parsed, scale};
use crate::kubernetes::Failure;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::cmp::Ordering;

/// How often the object may change between our read and our write. Its status does while pods come and go.
const TRIES: u32 = 5;

impl Kube {
    /// Stamps an epoch on the object, whatever state it is in.
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
                Ordering::Greater => return Err(scale::lost_leadership(there, epoch)),
                Ordering::Less => {}
            }
            // The next read shows what came of it.
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
