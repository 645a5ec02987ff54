//! What came of the messages of each gateway in each country, and what an order by results saves.

use super::prelude::*;
use crate::node::GatewayResults;

/// The filters of the list.
#[derive(Deserialize, JsonSchema)]
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
    let mut rows = Vec::new();
    if let Some(Filters { service }) = filters
        && let Ok(service) = list.service(&request, service)
    {
        let found = request.running.results(service.map(|service| service.id)).await?;
        rows = list.take_of_all(found);
    }
    Ok(list::html(&list, &DeliveryPage { request: &request, list: &list, rows }))
}
