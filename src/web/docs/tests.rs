use super::*;

fn page() -> String {
    let route = DocsRoute {
        anchor: "ChangeThing",
        method: "POST",
        path: "/v2/Things/{Sid}",
        summary: "Change a thing",
        about: "More about it.",
        access: "Needs a key.",
        params: vec![DocsParam {
            name: "Max".to_owned(),
            place: "body",
            required: true,
            accepts: "1 to 9".to_owned(),
            about: "How many.".to_owned(),
        }],
        curl: "curl -X POST 'x'".to_owned(),
        answers: vec![DocsAnswer { status: 200, about: "Fine." }],
        example: r#"{"a":1}"#.to_owned(),
    };
    let group = DocsGroup {
        name: "Some routes",
        anchor: "some-routes".to_owned(),
        about: "What they do.",
        routes: vec![route],
    };
    let docs = Docs {
        title: "<onceward>",
        version: "1",
        about: "About & more.",
        access: "User.",
        groups: vec![group],
    };
    String::from_utf8(docs_page(&docs).body.to_vec()).expect("UTF-8")
}

#[test]
fn a_route_is_shown_with_its_parameters_a_call_and_its_answers() {
    let page = page();
    for part in [
        "<h2 id=\"some-routes\">Some routes</h2>",
        "<a href=\"#ChangeThing\">Change a thing</a>",
        "<code>/v2/Things/{Sid}</code>",
        "<code>Max</code> <em>required</em></th><td>body</td><td>1 to 9</td><td>How many.</td>",
        "curl -X POST &#39;x&#39;",
        "{&#34;a&#34;:1}",
        "<th scope=\"row\">200</th><td>Fine.</td>",
        "More about it. Needs a key.",
    ] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
}

#[test]
fn what_a_text_says_is_never_markup() {
    let page = page();
    assert!(page.contains("&#60;onceward&#62;") && page.contains("About &#38; more."), "{page}");
    assert!(!page.contains("<onceward>"));
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let page = page();
    for part in ["<script", "http-equiv", "<img", "<link", "@import", "url("] {
        assert!(!page.contains(part), "{part}");
    }
    let policy = HEADERS[0].1;
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let hash = policy.split("'sha256-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a hash");
    let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
    assert_eq!(hash, base64::engine::general_purpose::STANDARD.encode(Sha256::digest(style.as_bytes())));
}
