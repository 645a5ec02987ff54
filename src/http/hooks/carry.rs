//! The code that a hook carries.

use std::time::Duration;

use tracing::{debug, warn};

use crate::delivery::Carried;
use crate::domain::{Channel, Code, Locale, NumberKey, PhoneNumber, Sid};
use crate::http::call::Call;
use crate::http::error::Error;
use crate::http::request;
use crate::limits::guard::{ClientNet, ClientSignals};
use crate::node::Running;
use crate::registry::{Service, TextError};
use crate::template::MessageStyle;
use crate::verification::Outgoing;
use crate::verification::{self as verify, BeginRequest};

/// The largest difference between the time of a signature and the clock, either way.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// How long a signed request can be replayed: its time may be ahead of the clock by the tolerance.
const REPLAYABLE: Duration = TOLERANCE.saturating_mul(2);

/// The id of a message that was sent.
pub type Done = Result<Option<Sid>, Error>;

/// A code to carry, as a hook's payload describes it.
pub struct Message<'a> {
    /// The number; some systems leave out the +.
    pub to: &'a str,
    pub code: &'a str,
    pub channel: Option<Channel>,
    pub locale: Option<&'a str>,
    pub address: Option<&'a str>,
}

impl<'a> Message<'a> {
    pub const fn new(to: &'a str, code: &'a str) -> Self {
        Self { to, code, channel: None, locale: None, address: None }
    }
}

/// Reads a number. Some identity systems leave out the +, which a space stands for.
fn number(text: &str) -> Result<PhoneNumber, Error> {
    let refused = |error| Error::hook(format!("The phone number cannot be used: {error}."));
    PhoneNumber::parse(&format!(" {text}"), None).map_err(refused)
}

/// Carries a code. If the service has no text in the system's language, the service's own language is used.
pub async fn carry(
    call: &Call,
    running: &Running,
    service: &Service,
    message: &Message<'_>,
    within: Duration,
) -> Done {
    let to = number(message.to)?;
    let code = Code::submitted(message.code, service.settings.code_length, true);
    let code = code.filter(Code::is_alphanumeric);
    let code = code.ok_or_else(|| Error::hook("There is no code of 4 to 10 letters or digits."))?;
    if let Some(channel) = message.channel.filter(|channel| !call.app.channels.contains(channel)) {
        return Err(Error::hook(format!("No gateway serves the channel {}.", channel.as_str())));
    }
    let address = message.address.and_then(|text| {
        let address = request::read_address(text);
        if address.is_none() {
            let service = service.name();
            call.connection.server.logs.by_kind.note("hooks", "address", move |_, is_first| {
                if is_first {
                    warn!(service, "address of a hook's payload not read; it has no limit of its own");
                }
            });
        }
        address
    });
    let in_language = |locale| {
        let message = Outgoing {
            channel: message.channel,
            style: MessageStyle { locale, ..MessageStyle::default() },
            client: ClientSignals { network: address.map(ClientNet::from), ..ClientSignals::default() },
            request_id: Some(call.traced_id()),
            supplied_code: Some(code.clone()),
            carried: Some(Carried { remembered_for: REPLAYABLE, within: Some(within), trial: None }),
            ..Outgoing::new(NumberKey::new(service.id, to))
        };
        BeginRequest::new(message)
    };
    let locale = message.locale.and_then(Locale::parse);
    let mut carried = running.verifying.carry(in_language(locale)).await;
    if let Err(verify::Refused::Text(TextError::OtherLanguage(_))) = carried {
        carried = running.verifying.carry(in_language(None)).await;
    }
    let carried = carried.map_err(|refused| of_error(running, &refused))?;
    debug!(request_id = call.request_id(), number = %to, "code carried");
    Ok(carried.sid)
}

/// Notes that another system has verified the number.
pub async fn outcome(running: &Running, service: &Service, to: &str) -> Result<(), Error> {
    let outcome = running.verifying.outcome(service.id, number(to)?).await;
    outcome.map(|_| ()).map_err(|refused| of_error(running, &refused))
}

fn of_error(running: &Running, refused: &verify::Refused) -> Error {
    Error::refused(refused, running.verifying.now())
}
