//! Carries out what was decided, one order after the other. It decides nothing.

use super::Access;
use super::call::not_sent;
use super::order::{self, Order};
use super::session::{Failure, Session, refusal};
use crate::leadership::{Leadership, NOT_LEADING};
use crate::systems::address::Endpoint;
use kafka_protocol::messages::{BrokerId, UnregisterBrokerRequest};
use plimsoll_wire::journal::Outcome;
use tokio::time::Instant;

/// Sends orders, each once and only while this daemon leads. The first that fails ends it: what came before it is seen when
/// the verb is given again.
pub(super) async fn carry_out(
    access: &Access,
    leadership: &Leadership,
    orders: &[(Endpoint, Order)],
    deadline: Instant,
) -> Outcome {
    let mut open: Option<(&Endpoint, Session)> = None;
    for (at, order) in orders {
        let mut session = match open.take() {
            Some((same, session)) if same == at => session,
            Some(_) | None => match Session::open(access, at, deadline).await {
                Ok(session) => session,
                Err(why) => return not_sent(&why),
            },
        };
        if !leadership.holds() {
            return not_sent(NOT_LEADING);
        }
        if let Err(failure) = send(&mut session, order).await {
            return failure.outcome();
        }
        open = Some((at, session));
    }
    Outcome::Applied
}

async fn send(session: &mut Session, order: &Order) -> Result<(), Failure> {
    let failure = match order {
        Order::Set(changes) => order::set_answer(&session.ask(&order::set(changes)).await?),
        Order::Reassign(moves) => order::reassign_answer(&session.ask(&order::reassign(moves)).await?),
        Order::Elect(keys) => order::elect_answer(&session.ask(&order::elect(keys)).await?),
        Order::Unregister(id) => {
            let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(*id));
            let answer = session.ask(&request).await?;
            refusal(answer.error_code, answer.error_message.as_ref())
        }
    };
    failure.map_or(Ok(()), Err)
}
