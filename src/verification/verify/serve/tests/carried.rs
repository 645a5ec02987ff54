//! Codes that another system makes: their messages and the list of attempts.

use serde_json::json;

use super::world::{World, number};
use crate::domain::{Code, GatewayName, PhoneNumber};
use crate::gateway::ErrorClass;
use crate::verification::numbers::Refusal;
use crate::verification::verify::{AttemptQuery, BeginRequest, CarryCode, Refused, Verifications as _};

fn carry(to: PhoneNumber) -> CarryCode {
    CarryCode::new(Code::parse("271828").expect("a code"), BeginRequest::new(to))
}

#[tokio::test]
async fn a_refusal_is_listed_also_if_the_next_gateway_has_no_room() {
    let world = World::routing("Mada;Sinch", json!({})).await.with_room_for_sends(1).await;
    world.provider.hangs_at(|name| name == GatewayName::Sinch);
    for _ in 0..2 {
        world.provider.fails_with(ErrorClass::Refused);
    }
    let (verifying, service) = (world.verifying.clone(), world.service.id);
    let first = tokio::spawn(async move { verifying.carry(service, carry(number(1))).await });
    // Refused by the one, and waiting for the other.
    world.provider.arrived(2).await;
    let second = world.verifying.carry(world.service.id, carry(number(2))).await;
    assert_eq!(second, Err(Refused::Unavailable(Refusal::SendsOverloaded)));
    let query = AttemptQuery { to: Some(number(2)), limit: 10, ..AttemptQuery::default() };
    let listed = world.verifying.messages(query).await.expect("a list").records;
    assert_eq!(listed.iter().map(|row| row.listed.attempt.gateway).collect::<Vec<_>>(), [GatewayName::Mada]);
    first.abort();
}
