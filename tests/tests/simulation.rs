//! The production cycle in simulated worlds: what must never happen, over many seeds.

use plimsoll_core::cycle::{PolicyRef, Spec};
use plimsoll_core::profile;
use plimsoll_sim::faults::FaultSetup;
use plimsoll_sim::load::{Load, Shape};
use plimsoll_sim::pilot::{Pilot, Policy};
use plimsoll_sim::platform::PlatformSetup;
use plimsoll_sim::quorum::QuorumSetup;
use plimsoll_sim::sim::{Setup, Sim, WorldSetup};
use plimsoll_wire::Safety;
use plimsoll_wire::proposal::{Answer, Proposal, Reason, Refusal, Sizes};
use plimsoll_wire::snapshot::{Behavior, Mode, SignalState, Snapshot};

fn spec() -> Spec {
    Spec {
        key: "default/sim".into(),
        profile: &profile::SIM_QUORUM,
        platform: "sim".to_owned(),
        mode: Mode::Enforce,
        min: 3,
        max: 7,
        behavior: Behavior::default(),
        safety: Safety::default(),
        policies: vec![PolicyRef {
            name: "utilization".to_owned(),
            module: "target-utilization".to_owned(),
            on_error: plimsoll_core::combine::OnError::Hold,
            settings: serde_json::Value::Null,
        }],
        interval_ms: 15_000,
        pace_ms: 1_000,
    }
}

/// The HPA's formula on the mean of the window, without any of its brakes: what is unsafe must be stopped by
/// the judge and not by the policy.
fn greedy() -> Policy {
    Box::new(|_, snapshot: &Snapshot| {
        let refuse = |code: &str| Answer::Refusal {
            refusal: Refusal { reason: Reason { code: code.to_owned(), message: String::new() } },
        };
        let (Some(size), Some(signal)) = (snapshot.size.value(), snapshot.signals.get("utilization")) else {
            return refuse("NoData");
        };
        let Some(last) = signal.samples.last().filter(|_| signal.state == SignalState::Ok) else {
            return refuse("StaleMetrics");
        };
        let wished = (f64::from(*size) * last.value / 0.6).ceil().clamp(0.0, 100.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped above")]
        let members = Some(wished as u32);
        Answer::Proposal(Proposal {
            sizes: Sizes { members },
            reason: Reason { code: "Utilization".to_owned(), message: String::new() },
            signals: vec!["utilization".to_owned()],
            ..Proposal::default()
        })
    })
}

fn quorum(seed: u64, members: usize, load: Load, faults: FaultSetup) -> Sim {
    Sim::new(Setup {
        seed,
        world: WorldSetup::Quorum(QuorumSetup {
            platform: PlatformSetup { running: members, ..PlatformSetup::default() },
            ..QuorumSetup::default()
        }),
        load,
        faults,
        sample_ms: 15_000,
        window_ms: 600_000,
    })
}

const HOUR: u64 = 3_600_000;

#[test]
fn with_all_defaults_a_healthy_group_goes_from_five_to_three() {
    let mut sim = quorum(1, 5, Load::new(Shape::Constant(300)), FaultSetup::None);
    let mut pilot = Pilot::new(spec(), greedy(), &sim).keeping_records();
    for _ in 0..24 {
        let until = sim.now_ms() + HOUR;
        pilot.run(&mut sim, until);
        println!("size {} {:?}", sim.size(), pilot.state().status().waiting_for);
    }
    println!("{:?}\n{:?}", pilot.tally(), sim.summary());
    for record in pilot
        .records()
        .iter()
        .filter(|r| !matches!(r.body, plimsoll_wire::record::Body::Decision(_)))
        .take(60)
    {
        for line in plimsoll_core::explain::explain(record) {
            println!("{} {line}", record.now.mono_ms / 1000);
        }
    }
}

#[test]
fn a_day_of_load_moves_a_group_out_and_in() {
    let day = Load::new(Shape::Daily { low: 300, high: 3_600, period_ms: 24 * HOUR });
    let mut sim = quorum(2, 3, day, FaultSetup::None);
    let mut spec = spec();
    spec.safety.fraction_permille = 1_000;
    let mut pilot = Pilot::new(spec, greedy(), &sim).keeping_records();
    for _ in 0..48 {
        let until = sim.now_ms() + HOUR;
        pilot.run(&mut sim, until);
        println!("size {} {:?}", sim.size(), pilot.state().status().waiting_for);
    }
    println!("{:?}\n{:?}", pilot.tally(), sim.summary());
    for record in pilot
        .records()
        .iter()
        .filter(|r| !matches!(r.body, plimsoll_wire::record::Body::Decision(_)))
        .take(60)
    {
        for line in plimsoll_core::explain::explain(record) {
            println!("{} {line}", record.now.mono_ms / 1000);
        }
    }
}
