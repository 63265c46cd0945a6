//! Decides what a server's answer to a call says about the world: a refusal changed nothing, anything else may have.

use plimsoll_wire::journal::Outcome;

/// The longest message that is passed on; the journal keeps no more.
const MESSAGE_BYTES: usize = 1024;

// Out of gRPC's table of status codes.
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const UNIMPLEMENTED: i32 = 12;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

/// What etcd answers as `UNAVAILABLE` before it has proposed anything (`v3rpc/rpctypes/error.go`).
const BEFORE_PROPOSING: [&str; 3] =
    ["etcdserver: unhealthy cluster", "etcdserver: not capable", "etcdserver: rpc not supported for learner"];

/// The outcome of a call that was answered with a status other than success.
///
/// etcd answers `UNAVAILABLE` both for what it refused before it proposed anything and for what it proposed
/// and did not see committed, so there the words decide; unknown words are an unknown outcome. Other codes
/// count as etcd's refusal only with etcd's own words: what stands between may use them for anything.
pub(super) fn of_status(code: i32, words: &str) -> Outcome {
    let message = clipped(words);
    let refused = match code {
        INVALID_ARGUMENT | NOT_FOUND | RESOURCE_EXHAUSTED | FAILED_PRECONDITION => {
            words.starts_with("etcdserver:")
        }
        PERMISSION_DENIED | UNIMPLEMENTED | UNAUTHENTICATED => true,
        UNAVAILABLE => BEFORE_PROPOSING.contains(&words),
        _ => false,
    };
    if refused { Outcome::Refused { message } } else { Outcome::Unknown { message } }
}

/// A message, cut to what the journal keeps.
pub(super) fn clipped(text: &str) -> String {
    let mut end = text.len().min(MESSAGE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(code: i32, words: &str) -> bool {
        matches!(of_status(code, words), Outcome::Refused { message } if message == words)
    }

    #[test]
    fn takes_for_refused_what_etcd_refuses_before_it_proposes() {
        for (code, words) in [
            (
                FAILED_PRECONDITION,
                "etcdserver: can only promote a learner member which is in sync with leader",
            ),
            (FAILED_PRECONDITION, "etcdserver: re-configuration failed due to not enough started members"),
            (FAILED_PRECONDITION, "etcdserver: too many learner members in cluster"),
            (NOT_FOUND, "etcdserver: member not found"),
            (UNAVAILABLE, "etcdserver: unhealthy cluster"),
            (RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"),
            (PERMISSION_DENIED, "etcdserver: permission denied"),
        ] {
            assert!(is_refused(code, words), "{code} {words}");
        }
    }

    #[test]
    fn takes_for_unknown_what_may_have_been_proposed() {
        for (code, words) in [
            (UNAVAILABLE, "etcdserver: request timed out"),
            (UNAVAILABLE, "etcdserver: request timed out, possibly due to previous leader failure"),
            (UNAVAILABLE, "etcdserver: request timed out, leader transfer took too long"),
            (UNAVAILABLE, "etcdserver: leader changed"),
            (UNAVAILABLE, "transport error"),
            (1, "Timeout expired"),
            (2, "etcdserver: server stopped"),
            (4, "context deadline exceeded"),
            (FAILED_PRECONDITION, "a proxy's words"),
        ] {
            assert!(!is_refused(code, words), "{code} {words}");
        }
    }

    #[test]
    fn cuts_a_long_message_between_two_characters() {
        let long = "é".repeat(MESSAGE_BYTES);
        assert_eq!(clipped(&format!("a{long}")).len(), MESSAGE_BYTES - 1);
    }
}
