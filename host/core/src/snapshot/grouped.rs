//! Groups with how long what is told of each has stood; those that are alike as one row.

use super::compact::Compact;
use super::{Pass, sorted};
use crate::groups::{Folding, fold};
use crate::observation::{Reading, SystemGroup, SystemPlacement};
use plimsoll_wire::Safety;
use plimsoll_wire::fact::Fact;
use plimsoll_wire::snapshot::{GROUPS_COVERED, GROUPS_LEFT_OUT, Group, Member, Operation, Placement};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

impl Pass<'_> {
    /// The groups as rows. How many are in none is a fact of its own.
    pub(super) fn groups(
        &mut self,
        told: &Reading<Vec<SystemGroup>>,
        members: &Fact<Vec<Member>>,
        operations: &Fact<Vec<Operation>>,
        safety: &Safety,
        facts: &mut BTreeMap<String, Fact<Value>>,
    ) -> Fact<Vec<Group>> {
        let list = told.value().map_or(&[][..], Vec::as_slice);
        let groups = list.iter().map(|group| one_group(self, group, safety.promote_permille)).collect();
        let busy = operations.value().map_or(&[][..], Vec::as_slice);
        let folding = Folding {
            safety,
            busy: busy.iter().map(|operation| &*operation.scope).collect(),
            members: members.value().map_or(&[], Vec::as_slice),
        };
        let folded = fold(groups, &folding);
        let known = self.plain(&told.as_unit());
        if folded.covered > 0 {
            facts.insert(GROUPS_COVERED.to_owned(), known.clone().map(|()| json!(folded.covered)));
        }
        if folded.left_out > 0 {
            facts.insert(GROUPS_LEFT_OUT.to_owned(), known.clone().map(|()| json!(folded.left_out)));
        }
        known.map(|()| folded.rows)
    }
}

fn one_group(pass: &mut Pass, group: &SystemGroup, promote_permille: u32) -> Group {
    let told = group.placements.value().map_or(&[][..], Vec::as_slice);
    let mut placements: Vec<Placement> =
        told.iter().map(|placement| one_placement(pass, &group.id, placement, promote_permille)).collect();
    placements.sort_by(sorted::by_member);
    // Whole and in sync since when: lags change all the time, membership and states should not.
    let key = (group.id.clone(), pass.none.clone(), "placements");
    let (stable_ms, reads) = pass.note(key, |bytes| {
        for placement in &placements {
            (&*placement.member).write(bytes);
            bytes.extend(placement.weight.to_le_bytes());
            bytes.push(placement.state as u8);
        }
    });
    Group {
        id: group.id.clone(),
        count: NonZeroU32::MIN,
        kind: group.kind,
        model: group.model,
        target_copies: pass.plain(&group.target_copies),
        min_ack: pass.plain(&group.min_ack),
        placements: pass.fact(&group.placements.as_unit(), stable_ms, reads).map(|()| placements),
        leader: pass.tracked(&group.id, "leader", &group.leader),
        config_version: pass.tracked(&group.id, "config", &group.config_version),
        in_joint_config: pass.plain(&group.in_joint_config),
        open: pass.plain(&group.open),
    }
}

/// The progress of a copy changes with every read; what counts is for how long it has been enough (QUORUM-6).
fn one_placement(
    pass: &mut Pass,
    group: &Arc<str>,
    placement: &SystemPlacement,
    promote_permille: u32,
) -> Placement {
    let enough = placement.progress_permille.value().map(|progress| *progress >= promote_permille);
    let (stable_ms, reads) = match enough {
        Some(enough) => {
            let key = (group.clone(), placement.member.clone(), "progress");
            pass.note(key, |bytes| bytes.push(u8::from(enough)))
        }
        None => (0, 1),
    };
    Placement {
        member: placement.member.clone(),
        weight: placement.weight,
        state: placement.state,
        lag: pass.plain(&placement.lag),
        progress_permille: pass.fact(&placement.progress_permille, stable_ms, reads),
    }
}
