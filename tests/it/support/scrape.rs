//! A scrape of `/metrics`.

use std::collections::BTreeSet;

use super::{OWN_ACCOUNT, OWN_TOKEN, Server, basic};

/// A scrape in the classic text format.
pub struct Scrape(pub String);

impl Scrape {
    /// The names of its families, also of those without a sample.
    pub fn names(&self) -> BTreeSet<String> {
        let types = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.filter_map(|rest| Some(rest.split_once(' ')?.0.to_owned())).collect()
    }

    pub fn value(&self, sample: &str) -> Option<f64> {
        self.0.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
    }
}

/// A scrape with the account's credentials.
pub async fn scraped(server: &Server) -> Scrape {
    let authorization = basic(OWN_ACCOUNT, OWN_TOKEN);
    let answer = server.client.get_with("/metrics", &[("authorization", &authorization)]).await;
    Scrape(answer.expects_status(200).text())
}
