//! The control socket: the routes of the HTTP port and more, for the administrator of the machine.

use serde_json::json;

use crate::support::{OWN_ACCOUNT, OWN_TOKEN, Setup, World, basic, text};

#[tokio::test]
async fn the_socket_serves_every_route_and_its_own_without_a_credential() {
    let (world, _, _) = World::with_service(Setup::new()).await;
    let ask = |request: &str| world.setup.ask_control_socket(request);
    let (status, services) = ask("GET /v2/Services");
    assert_eq!((status, &services["services"][0]["friendly_name"]), (200, &json!("Owl Bank")), "{services}");
    assert_eq!(ask("GET /readyz").0, 200);
    let (_, server) = ask("GET /local/Server");
    assert_eq!(server["version"], env!("CARGO_PKG_VERSION"), "{server}");
    let (status, webhooks) = ask("GET /local/Webhooks");
    assert_eq!((status, webhooks), (200, json!({"webhooks": []})));
    let (status, unknown) = ask("GET /local/Services/unknown");
    assert!(status == 400 && text(&unknown, "message").contains("no service"), "{unknown}");

    for path in ["/local/Server", "/local/Keys", "/local/Messages", "/local/Copy"] {
        assert_eq!(world.get(path).await.status(), 404, "{path}");
    }
    // Not with the account's credentials either.
    let account = [("authorization", &*basic(OWN_ACCOUNT, OWN_TOKEN))];
    world.get_with("/local/Keys", &account).await.expects_status(404);
    let described = world.get("/openapi.json").await.text();
    assert!(!described.contains("/local/"), "no description has them");
}
