//! The simulator's inbox and the dashboard, as programs and browsers without JavaScript use them.

use serde_json::Value;

use super::{Client, HttpResponse, OWN_ACCOUNT, OWN_TOKEN, Setup, V2, World, text};

/// The messages to this number, the newest first.
pub async fn inbox(client: &Client, number: &str) -> Vec<Value> {
    let answer =
        client.get(&format!("/inbox/messages?to={}", number.replace('+', "%2B"))).await.expects_status(200);
    answer.json()["messages"].as_array().expect("a list").clone()
}

/// The account's credentials.
pub const OWNER: [(&str, &str); 2] = [("user", OWN_ACCOUNT), ("secret", OWN_TOKEN)];

pub async fn sign_in(client: &Client, user: &str, secret: &str) -> HttpResponse {
    client.post_form("/admin/sign-in", &[], &[("user", user), ("secret", secret)]).await
}

/// A browser with a session, and headers that it sends.
#[derive(Clone)]
pub struct Visitor {
    pub client: Client,
    pub cookie: String,
    pub token: String,
    pub headers: Vec<(&'static str, &'static str)>,
}

impl Visitor {
    pub async fn of(client: &Client) -> Self {
        Self::with(client, OWN_ACCOUNT, OWN_TOKEN).await
    }

    /// Signs in with a new key. Returns the key's id too.
    pub async fn with_new_key(world: &World, options: &[&str]) -> (Self, String) {
        let key = world.setup.new_key(options).await;
        let sid = text(&key, "sid").to_owned();
        (Self::with(world, &sid, text(&key, "secret")).await, sid)
    }

    async fn with(client: &Client, user: &str, secret: &str) -> Self {
        let answer = sign_in(client, user, secret).await.expects_status(303);
        Self::after(client, &answer, "/admin", &[]).await
    }

    /// The browser that got this answer with a cookie. Its page has the token of the session.
    pub async fn after(
        client: &Client,
        answer: &HttpResponse,
        page: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Self {
        let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        let visitor =
            Self { client: client.clone(), cookie, token: String::new(), headers: headers.to_vec() };
        let page = visitor.get(page).await.text();
        Self { token: between(&page, "name=\"token\" value=\"", "\"").to_owned(), ..visitor }
    }

    pub async fn get(&self, path: &str) -> HttpResponse {
        let headers = [&[("cookie", self.cookie.as_str())], &self.headers[..]].concat();
        self.client.get_with(path, &headers).await
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> HttpResponse {
        self.post_with(path, &[], &self.token, form).await
    }

    pub async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        token: &str,
        form: &[(&str, &str)],
    ) -> HttpResponse {
        let headers = [&[("cookie", self.cookie.as_str())], &self.headers[..], headers].concat();
        self.client.post_form(path, &headers, &[form, &[("token", token)]].concat()).await
    }

    /// The page that a form leads to, or that it is answered with.
    pub async fn submit(&self, path: &str, form: &[(&str, &str)]) -> HttpResponse {
        let answer = self.post(path, form).await;
        if answer.status() == 200 {
            return answer;
        }
        self.get(answer.header("location")).await.expects_status(200)
    }

    /// The path of a number's page.
    pub async fn look_up(&self, number: &str) -> String {
        let found = self.post("/admin/search", &[("q", number)]).await.expects_status(303);
        found.header("location").to_owned()
    }
}

/// A server, and the account's owner at its dashboard.
pub async fn signed_in(setup: Setup) -> (World, Visitor) {
    let world = World::of(V2::account(setup)).await;
    let visitor = Visitor::of(&world).await;
    (world, visitor)
}

pub async fn default_service(world: &World) -> String {
    V2::of(world).default_service().await["/Services/".len()..].to_owned()
}

#[track_caller]
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text}")).1;
    rest.split_once(after).expect("an end").0
}
