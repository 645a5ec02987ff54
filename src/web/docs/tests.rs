use serde_json::json;

use super::*;

fn page() -> String {
    written(&json!({
        "info": { "title": "<onceward>", "version": "1", "description": "About & more." },
        "components": { "securitySchemes": { "basic": { "description": "User and password." } } },
        "tags": [{ "name": "Some routes", "description": "What they do." }],
        "paths": { "/v2/Things/{Sid}": { "post": {
            "tags": ["Some routes"], "operationId": "ChangeThing", "summary": "Change a thing", "description": "D.",
            "security": [{ "basic": [] }],
            "parameters": [{ "name": "Sid", "in": "path", "required": true, "example": "+1", "schema": { "type": "string" } }],
            "requestBody": { "content": { "application/x-www-form-urlencoded": {
                "schema": { "required": ["Max"], "properties": {
                    "Max": { "type": "integer", "minimum": 1, "maximum": 9, "description": "How many." },
                } },
                "example": { "Max": 5 },
            } } },
            "responses": { "200": { "description": "Fine.", "content": { "application/json": { "example": { "a": 1 } } } } },
        } } },
    }))
}

#[test]
fn a_route_is_shown_with_its_parameters_a_call_and_its_answers() {
    let page = page();
    for part in [
        "<h2 id=\"some-routes\">Some routes</h2>",
        "<a href=\"#ChangeThing\">Change a thing</a>",
        "<code>/v2/Things/{Sid}</code>",
        "<code>Max</code> <em>required</em></th><td>body</td><td>1 to 9</td><td>How many.</td>",
        "curl -X POST http://localhost:3000/v2/Things/%2B1",
        "--data-urlencode",
        "Max=5",
        "$ACCOUNT_SID:$AUTH_TOKEN",
        "<th scope=\"row\">200</th><td>Fine.</td>",
        "Needs the account",
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
    let policy = headers()[0].1;
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let hash = policy.split("'sha256-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a hash");
    let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
    assert_eq!(hash, base64::engine::general_purpose::STANDARD.encode(Sha256::digest(style.as_bytes())));
}
