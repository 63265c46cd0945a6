use super::*;

/// As Redis 7.0.15 answered while slot 15495 was on its way to a node that had just joined.
const SEVEN: &str = "\
8047242ebbd7fa637dd9eb5c07d9376dcb14c5bc 127.0.0.1:19707@29707 master - 0 1796058212019 7 connected
c0574a34b1b4038967e3279cb606652cfabb9bd7 127.0.0.1:19703@29703 myself,master - 0 1796058211016 3 connected 10923-15494 15496-16383 [15495->-8047242ebbd7fa637dd9eb5c07d9376dcb14c5bc]
da7ed6d7fd84e6c19f600e3a7ae2413f6a5ab0c9 127.0.0.1:19708@29708 handshake - 0 0 0 connected
7dd38072b2992314230462feb086119b0a888437 127.0.0.1:19702@29702 master,fail? - 0 1796058211000 2 connected 5461-10922
218cf2aaa52c52d59d1b30b0edb97960b0fada90 127.0.0.1:19704@29704 slave c0574a34b1b4038967e3279cb606652cfabb9bd7 0 1796058211000 3 connected
57fdd5502ddcccf7b824787f739332d6d6cca5a9 127.0.0.1:19706@29706,p6.cache.svc,shard-id=4c4 slave,fail 7dd38072b2992314230462feb086119b0a888437 0 1796058211016 2 disconnected
ff87f8dc800f185afb9cde54c62f18d1a23977cf [fd00::1]:19701@29701 master - 0 1796058211517 1 connected 0-5460
";
const GIVER: &str = "c0574a34b1b4038967e3279cb606652cfabb9bd7";
const TAKER: &str = "8047242ebbd7fa637dd9eb5c07d9376dcb14c5bc";

#[test]
fn a_view_is_who_is_there_with_which_slots_and_which_are_on_their_way() {
    let view = View::parse(SEVEN).expect("as a server answers");
    assert_eq!((view.me.as_str(), view.nodes.len(), view.handshakes), (GIVER, 6, 1));
    assert_eq!(view.open, [Open { slot: 15_495, way: Way::To(TAKER.to_owned()) }]);
    let own = view.own().expect("itself");
    assert_eq!((own.slots.count(), own.epoch, own.master.as_deref()), (5_460, 3, None));
    assert!(own.slots.has(15_494) && !own.slots.has(15_495));
    let replica = &view.nodes["57fdd5502ddcccf7b824787f739332d6d6cca5a9"];
    assert!(replica.failed && replica.master.is_some());
    assert_eq!((replica.host.as_str(), replica.port, replica.bus), ("127.0.0.1", 19_706, 29_706));
    assert!(!view.nodes["7dd38072b2992314230462feb086119b0a888437"].failed, "one suspicion is no verdict");
    assert_eq!(view.nodes["ff87f8dc800f185afb9cde54c62f18d1a23977cf"].host, "fd00::1");
}

#[test]
fn a_node_that_is_alone_and_was_never_met_has_no_address_yet() {
    let alone = "8047242ebbd7fa637dd9eb5c07d9376dcb14c5bc :19707@29707 myself,master - 0 0 0 connected\n";
    let view = View::parse(alone).expect("as a server answers");
    assert_eq!((view.nodes.len(), view.own().map(|own| own.port)), (1, Some(19_707)));
}

#[test]
fn what_is_malformed_is_no_view_at_all() {
    let line = "8047242ebbd7fa637dd9eb5c07d9376dcb14c5bc 127.0.0.1:1@2 myself,master - 0 0 0 connected";
    assert!(View::parse(&format!("{line} 0-16383")).is_ok());
    for (text, why) in [
        (String::new(), "myself"),
        (line.replace("myself,", ""), "myself"),
        (format!("{line}\n{line}"), "two nodes"),
        (line.replace("8047", "80x7"), "cannot be read"),
        (line.replace("master", "slave"), "cannot be read"),
        (line.replace(" connected", ""), "cannot be read"),
        (format!("{line} 0-16384"), "cannot be read"),
        (format!("{line} 9-7"), "cannot be read"),
        (format!("{line} [7->-nobody]"), "cannot be read"),
        (format!("{line} [7]"), "cannot be read"),
        (SEVEN.replace("0-5460", "0-5461"), "a slot twice"),
        (format!("{line}\n").repeat(MOST_NODES + 1), "are the most"),
    ] {
        let refused = View::parse(&text).expect_err(&text);
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn slots_are_the_same_however_they_are_written() {
    let one = Slots::of([(5, 7), (0, 3), (4, 4), (9, 9)]);
    assert_eq!(one, Slots::of([(9, 9), (0, 7)]));
    assert_eq!((one.count(), one.each().last(), Slots::default().is_empty()), (9, Some(9), true));
}
