//! The lists of the dashboard: messages and webhooks; and the overview. `tests/browser` walks the others and the filters.

use crate::support::prelude::*;

#[tokio::test]
async fn messages_are_found_by_every_filter_and_wrong_ones_are_named() {
    let prices = json!({ "*": { "sms": "0.5" } });
    let (world, v2, service) = World::with_service(Setup::new().config("prices", prices)).await;
    let (verified, code) = world.number_with_code().await;
    assert_eq!(world.verify(&verified, &code).await.status(), 200);
    let refused = world.number_with([Reply::Refuse { status: 400, code: 21211 }]);
    world.send(&refused).await;
    let waiting = world.number();
    let begun = sid(&v2.begins(&service, &waiting).await);

    let visitor = Visitor::of(&world).await;
    let shown = async |query: &str| {
        let page = visitor.get(&format!("/admin/messages?{query}")).await.expects_status(200).text();
        let cells = page.split("data-name=\"Number\"").skip(1);
        cells.map(|cell| between(cell, "\">", "<").to_owned()).collect::<Vec<_>>()
    };
    let numbers = [&verified, &refused, &waiting];
    let page = visitor.get("/admin/messages").await.text();
    page.says(["TwilioMessages", "0.50 USD", "21211", "> verified<", "Owl Bank", ">failed</span>", "US"]);
    for number in numbers {
        assert!(page.contains(&masked(number)) && !page.contains(&number[1..]), "{page}");
    }
    let file = visitor.get(&format!("/admin/messages?as=csv&verification={begun}")).await.text();
    let message = file.trim_end().rsplit(',').next().expect("an id").trim_matches('"').to_owned();
    let (service, ending) = (&service["/Services/".len()..], &verified[verified.len() - 2..]);
    for (query, found) in [
        (String::new(), &[&waiting, &refused, &verified][..]),
        ("error=21211".to_owned(), &[&refused]),
        ("status=send:gateway_error".to_owned(), &[&refused]),
        ("status=verify:success".to_owned(), &[&verified]),
        (format!("service={service}"), &[&waiting]),
        (format!("verification={begun}"), &[&waiting]),
        (format!("ending={ending}"), &[&verified]),
        ("country=US&channel=sms&gateway=TwilioMessages&error=21211".to_owned(), &[&refused]),
        ("country=DE".to_owned(), &[]),
        ("until=2000-01-01T00:00:00Z".to_owned(), &[]),
        (format!("message={}", message.to_lowercase()), &[&waiting]),
    ] {
        let found: Vec<String> = found.iter().map(|number| masked(number)).collect();
        assert_eq!(shown(&query).await, found, "{query}");
    }
    for query in ["since=1&since=2", "ending=12345", "service=VA0123456789abcdef0123456789abcdef"] {
        let name = query.split('=').next().expect("a name");
        let answer = visitor.get(&format!("/admin/messages?{query}")).await.expects_status(400);
        answer.says([&*format!("Invalid parameter `{name}`: "), "No message fits."]);
    }

    for (words, location) in [
        (masked(&verified), format!("/admin/messages?ending={ending}")),
        (begun.to_lowercase(), format!("/admin/messages?verification={begun}")),
        ("SM5ef8732a3c49700934481addd5ce1659".to_owned(), "/admin/messages?message=SM5e".to_owned()),
        (verified[1..].to_owned(), "/admin/numbers/VE".to_owned()),
        (format!("SK{}", "0".repeat(32)), "/admin/audit?of=SK".to_owned()),
        ("anna".to_owned(), "/admin/messages".to_owned()),
    ] {
        let found = visitor.look_up(&words).await;
        assert!(found.starts_with(&location) && !found.contains(&verified[1..]), "{words}: {found}");
    }
    visitor.get("/admin/messages").await.says(["This is no number"]);
}

#[tokio::test]
async fn a_file_of_messages_has_masked_numbers_but_for_the_account() {
    let world = World::of(V2::account(Setup::new())).await;
    let (number, _) = world.number_with_code().await;
    let owner = Visitor::of(&world).await;
    let (admin, _) = Visitor::with_new_key(&world, &["--scope", "admin"]).await;
    let path = format!("/admin/messages?as=csv&ending={}", &number[number.len() - 2..]);
    let file = admin.get(&path).await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"messages.csv\"");
    file.says(["time,number,service,country,channel,gateway", &format!("\"{}\"", masked(&number))]);
    let whole = format!("{path}&numbers=whole");
    assert!(!admin.get(&whole).await.text().contains(&number), "a key may not export numbers");
    assert!(!owner.get(&path).await.text().contains(&number), "masked unless asked for");
    assert!(owner.get(&whole).await.text().contains(&number));
    world.server.line("whole numbers exported from the dashboard").await;
}

#[tokio::test]
async fn a_webhook_that_fails_is_named_with_its_error_and_replayed() {
    let (world, visitor) = signed_in(Setup::new().config("webhook-private-addresses", true)).await;
    let service = default_service(&world).await;
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::Reset);
    let url = receiver.url();
    let form = [
        ("service", service.as_str()),
        ("FriendlyName", "billing"),
        ("WebhookUrl", url.as_str()),
        ("EventTypes", "verification.sent"),
    ];
    let made = visitor.submit("/admin/webhooks", &form).await.text();
    let path = format!("/admin/webhooks/{}", between(&made, "/admin/webhooks/", "\""));
    world.number_with_code().await;
    let page = async || visitor.get(&path).await.text();
    let failed = until("the failure", &page, |page| page.contains("Last error, ")).await;
    failed.says(["verification.sent", ">pending<", "&#34;verification_sid&#34;:&#34;VE"]);

    receiver.otherwise(Reply::Accept);
    let event = between(&failed, "name=\"event\" value=\"", "\"");
    visitor.post(&path, &[("action", "replay"), ("event", event)]).await.expects_status(303);
    until("the delivery", &page, |page| page.contains(">delivered</span>")).await.says(["status 200, "]);
}

#[tokio::test]
async fn the_overview_has_the_way_to_a_verified_number_by_gateway() {
    let (world, visitor) = signed_in(Setup::new().config("public-url", PUBLIC_URL)).await;
    let numbers = [(); 4].map(|()| world.number());
    for number in &numbers {
        assert_eq!(world.send(number).await.status(), 200);
    }
    for (number, reports) in
        numbers.iter().zip([&["delivered", "delivered", "read"][..], &["delivered"], &["undelivered"]])
    {
        for status in reports {
            assert_eq!(world.twilio().report(number, status).send(&world).await.status(), 204);
        }
    }
    let code = world.twilio().code_for(&numbers[0]);
    world.verify(&numbers[0], &wrong(&code)).await;
    world.verify(&numbers[0], &code).await;
    world.verify(&numbers[1], &wrong(&world.twilio().code_for(&numbers[1]))).await;

    let page = visitor.get("/admin").await.text();
    let way = between(&page, "id=\"funnel-region\"", "</table>");
    for (step, count, share) in [
        ("sent", 4, ""),
        ("delivered, as reported", 2, "50.0 %"),
        ("tried", 2, "100.0 %"),
        ("verified", 1, "50.0 %"),
    ] {
        let row = format!("<th scope=\"row\">{step}</th><td data-name=\"Count\">{count}</td>");
        way.says([format!("{row}<td data-name=\"Of the step before\">{share}</td>")]);
    }
    assert!(page.len() < 20_000, "{} bytes", page.len());
    let table = between(&page, "id=\"by-gateway-region\"", "</table>");
    table.says(["TwilioMessages</a></th><td>4</td><td>2</td><td>2</td><td>1</td>"]);
}
