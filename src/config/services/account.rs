//! The account's credentials: variables, like those of gateways.

use schemars::{Schema, json_schema};
use serde::Deserialize;

use super::settings::AccountSettings;
use crate::config::effective::NOT_SHOWN;
use crate::config::reader::Reader;
use crate::config::value::{Given, Setting};
use crate::domain::{ApiSecret, Sid, SidKind};

const SID: &str = "ONCEWARD_ACCOUNT_SID";
const TOKEN: &str = "ONCEWARD_AUTH_TOKEN";

/// The variables; each also with `_FILE` at its end.
pub const VARIABLES: [&str; 2] = [SID, TOKEN];

/// What the sources say about them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AccountKeys {
    #[serde(rename = "ONCEWARD_ACCOUNT_SID")]
    sid: Given<AccountSid>,
    #[serde(rename = "ONCEWARD_AUTH_TOKEN")]
    token: Given<AuthToken>,
}

/// Both, or neither. What is wrong is noted.
pub fn account(keys: AccountKeys, reader: &mut Reader<'_>) -> Option<AccountSettings> {
    let given = [&keys.sid.tag(), &keys.token.tag()].map(Option::is_some);
    let origin = reader.origin_of(SID, &keys.sid).or_else(|| reader.origin_of(TOKEN, &keys.token));
    let sid = reader.take(SID, keys.sid);
    let token = reader.take(TOKEN, keys.token);
    for (name, other, missing) in [(SID, TOKEN, given == [false, true]), (TOKEN, SID, given == [true, false])]
    {
        // A file that cannot be read was noted.
        if missing && !reader.report.is_about(&[name]) {
            let problem = format!("it is missing, and {other} is given. Set both, or neither");
            reader.report.problem(name, problem, origin.clone());
        }
    }
    Some(AccountSettings { sid: sid?.value.0, token: ApiSecret::new(token?.value.0) })
}

#[derive(Debug)]
struct AccountSid(Sid);

impl Setting for AccountSid {
    fn read(text: &str) -> Option<Self> {
        Sid::parse(SidKind::Account, text.trim()).map(Self)
    }

    /// Ids are no secrets, but a token is easily pasted into the wrong variable.
    fn is_secret(_text: &str) -> bool {
        true
    }

    fn shown(&self) -> String {
        self.0.to_string()
    }

    fn accepted() -> String {
        "AC and 32 hexadecimal digits, such as `echo AC$(openssl rand -hex 16)` makes them".to_owned()
    }

    fn placeholder() -> Self {
        Self(Sid::new(SidKind::Account, [0; 16]))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Has no readable `Debug`.
struct AuthToken(String);

impl std::fmt::Debug for AuthToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthToken(***)")
    }
}

impl Setting for AuthToken {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (16..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    fn is_secret(_text: &str) -> bool {
        true
    }

    fn shown(&self) -> String {
        NOT_SHOWN.to_owned()
    }

    fn accepted() -> String {
        "16 to 128 visible ASCII characters without spaces, such as `openssl rand -hex 16` makes them; it is compared by a \
         fast hash, so it must be random"
            .to_owned()
    }

    fn placeholder() -> Self {
        Self(String::new())
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}
