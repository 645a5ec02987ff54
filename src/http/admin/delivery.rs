//! What came of the messages of each gateway in each country, and what an order by results saves.

use super::prelude::*;
use crate::node::GatewayResults;

/// The filters of the list.
#[derive(Default, Deserialize, JsonSchema)]
pub struct Filters {
    /// Service
    pub service: Option<values::ServiceSid>,
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage<'a> {
    request: &'a AdminRequest,
    list: &'a List,
    rows: Vec<GatewayResults>,
}

/// `GET /admin/delivery`.
pub async fn page(request: AdminRequest) -> PageResult {
    let (mut list, filters) = List::read::<Filters>(&request, "/admin/delivery");
    let service = list.service(&request, filters.service);
    let found = request.running.results(service.map(|service| service.id)).await?;
    let rows = list.take_of_all(found);
    Ok(list::html(&list, &DeliveryPage { request: &request, list: &list, rows }))
}
