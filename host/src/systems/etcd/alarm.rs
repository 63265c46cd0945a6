//! Alarms as etcd's members report them, and how to clear each.

use super::survey::hex;
use plimsoll_wire::alarm::Alarm;

/// What etcd itself adds to the words of a member that has no leader; everything else there is an alarm.
pub(super) const NO_LEADER: &str = "etcdserver: no leader";

/// What clears an alarm, by etcd's word for it.
const REMEDIES: [(&str, &str); 2] = [
    (
        "NOSPACE",
        "make room (`etcdctl compact` to the present revision, then `etcdctl defrag` on each member, or a larger \
         `--quota-backend-bytes`), then `etcdctl alarm disarm`",
    ),
    (
        "CORRUPT",
        "find the member whose data differs (`etcdctl endpoint hashkv --cluster`), replace it or its data, then \
         `etcdctl alarm disarm`",
    ),
];

/// What clears an alarm that is not in the table.
const ANY_REMEDY: &str = "clear its cause, then `etcdctl alarm disarm`";

/// The alarm in a line of a member's status, such as `memberID:15839936106879365000 alarm:CORRUPT`. A line that reads
/// otherwise is an alarm, too: whatever else a member complains of.
pub(super) fn parse(line: &str) -> Option<Alarm> {
    let line = line.trim();
    if line.is_empty() || line == NO_LEADER {
        return None;
    }
    let (member, kind) = named(line).unwrap_or_else(|| (String::new(), line.to_owned()));
    let remedy = REMEDIES.iter().find(|(known, _)| *known == kind).map_or(ANY_REMEDY, |(_, remedy)| *remedy);
    Some(Alarm { kind, member: member.into(), remedy: remedy.to_owned() })
}

/// The member, as etcd's own tools print ids, and the alarm's word.
fn named(line: &str) -> Option<(String, String)> {
    let (member, kind) = line.strip_prefix("memberID:")?.split_once(' ')?;
    let kind = kind.trim().strip_prefix("alarm:")?;
    let whole = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_uppercase());
    whole.then_some((hex(member.parse().ok()?), kind.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_names_its_member_as_etcds_own_tools_do_and_says_how_it_is_cleared() {
        let parts = |line| parse(line).map(|alarm| (alarm.kind, alarm.member.to_string(), alarm.remedy));
        let (kind, member, remedy) =
            parts("memberID:15839936106879365000 alarm:CORRUPT ").unwrap_or_default();
        assert_eq!((&*kind, &*member), ("CORRUPT", "dbd2c1f7336daf88"));
        assert!(remedy.contains("hashkv") && remedy.contains("alarm disarm"), "{remedy}");
        let (kind, _, remedy) = parts("memberID:1 alarm:NOSPACE").unwrap_or_default();
        assert!(kind == "NOSPACE" && remedy.contains("defrag"), "{remedy}");
    }

    #[test]
    fn a_line_that_reads_otherwise_is_an_alarm_of_nobody_and_a_missing_leader_is_none() {
        for line in ["memberID:x alarm:NOSPACE", "memberID:1 alarm:", "etcdserver: something else"] {
            let alarm = parse(line).map(|alarm| (alarm.kind, alarm.member.to_string()));
            assert_eq!(alarm, Some((line.to_owned(), String::new())));
        }
        assert_eq!(parse(NO_LEADER), None);
        assert_eq!(parse("  "), None);
    }
}
