//! What a send may ask for beside the number: how it reaches the person, and in which words.

use crate::domain::{Channel, Locale};
use crate::http::bad_body::BadBody;
use crate::http::problem::Problem;
use crate::template::{AppHash, MessageStyle, Wording};

/// The fields as they were sent; absent and null are the same.
pub struct Wishes {
    /// `channel`
    pub channel: Option<String>,
    /// `locale`
    pub locale: Option<String>,
    /// `appHash`
    pub app_hash: Option<String>,
}

impl Wishes {
    /// What they mean. One that is not understood is a bad body rather than passed over: the caller
    /// would not notice that the message differs from what was asked for.
    pub fn read(
        self,
        served: &[Channel],
        wording: Wording,
    ) -> Result<(Option<Channel>, MessageStyle), Problem> {
        let channel = understood(self.channel, Channel::parse, BadBody::Channel)?;
        if let Some(channel) = channel.filter(|channel| !served.contains(channel)) {
            return Err(Problem::BadBody(BadBody::ChannelNotServed(channel.as_str())));
        }
        let locale = understood(self.locale, Locale::parse, BadBody::Locale)?;
        let app_hash = understood(self.app_hash, AppHash::parse, BadBody::AppHash)?;
        Ok((channel, MessageStyle { wording, locale, app_hash, send_digits: None }))
    }
}

fn understood<T>(
    text: Option<String>,
    parse: impl Fn(&str) -> Option<T>,
    otherwise: BadBody,
) -> Result<Option<T>, Problem> {
    text.map(|text| parse(&text).ok_or(Problem::BadBody(otherwise))).transpose()
}
