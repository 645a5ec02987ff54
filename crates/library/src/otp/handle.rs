//! The handle: send, check, look, stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::{OtpError, Sent, Verified};
use crate::delivery::GatewayState;
use crate::delivery::attempts::{AttemptQuery, ListedAttempt};
use crate::domain::{Channel, Code, PhoneNumber, Region, ServiceId};
use crate::gateway::Simulator;
use crate::limits::guard::Rule;
use crate::node::Running;
use crate::store::StoreError;
use crate::template::{MessageStyle, Wording};
use crate::verification::{Check, Failure, NumberKey, Outgoing, Refusal};

/// A handle on a running engine. Cheap to clone; all clones are one engine.
///
/// Every method may be called from any task at the same time. What was begun is carried out even if its future is
/// dropped.
///
/// # Stopping
///
/// [`Otp::stop`] waits for what is in flight and closes the data directory. When the last handle is dropped
/// without it, the same begins in the background, on the runtime that the engine was started in. When the
/// runtime or the process ends first, it is as after a crash: nothing that was answered is lost, and the next start
/// on the directory goes on from there.
#[derive(Clone)]
pub struct Otp {
    pub(super) engine: Arc<Engine>,
}

/// The state that all clones share.
pub(super) struct Engine {
    pub(super) running: Arc<Running>,
    pub(super) runtime: Handle,
    pub(super) simulator: Option<Arc<Simulator>>,
    pub(super) default_region: Option<Region>,
    /// The channels that a send may request.
    pub(super) channels: Vec<Channel>,
    pub(super) stopping: AtomicBool,
    pub(super) stopped: OnceCell<Result<(), StoreError>>,
}

impl Engine {
    /// Whether nothing more may be recorded.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.stopped.initialized() {
            return;
        }
        let running = Arc::clone(&self.running);
        // Does nothing when the runtime has ended.
        self.runtime.spawn(async move {
            if let Err(error) = running.stop().await {
                tracing::error!(%error, "engine not stopped cleanly when dropped");
            }
        });
    }
}

impl std::fmt::Debug for Otp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Otp").finish_non_exhaustive()
    }
}

impl Otp {
    /// Sends a code by text message and returns when a provider has taken it, or when it will be tried again in the
    /// background (the setting `sms.retry`). Takes at most `send-budget` and the time of two writes to the disk. `phone` is
    /// in E.164 form, such as `+14155550123`, or national where a default region is set.
    ///
    /// A further send replaces the code, restarts its life, and keeps the count of wrong codes.
    ///
    /// # Errors
    /// Every [`OtpError`] but [`OtpError::NoGateway`] and [`OtpError::Text`].
    pub async fn send_sms(&self, phone: &str) -> Result<Sent, OtpError> {
        self.send(phone, Some(Channel::Sms), MessageStyle::default()).await
    }

    /// As [`Otp::send_sms`] with a text of its own: `_CODE_` or `{code}` is where the code goes, and what the
    /// texts of the settings may contain it may contain too.
    ///
    /// # Errors
    /// As [`Otp::send_sms`], and [`OtpError::Text`] when the text has no place for the code, a placeholder that
    /// nothing fills, or more than 1600 characters. Nothing is sent then.
    pub async fn send_sms_with(&self, phone: &str, text: &str) -> Result<Sent, OtpError> {
        let style = MessageStyle { wording: Wording::Custom(text.into()), ..MessageStyle::default() };
        self.send(phone, Some(Channel::Sms), style).await
    }

    /// Calls and reads a code out, digit by digit, twice. Only with the setting `voice`.
    ///
    /// # Errors
    /// As [`Otp::send_sms`], and [`OtpError::NoGateway`].
    pub async fn call(&self, phone: &str) -> Result<Sent, OtpError> {
        self.send(phone, Some(Channel::Call), MessageStyle::default()).await
    }

    /// Sends a code over any channel, worded in any way. Without a channel, over the first one of
    /// the setting `workflow`, else by text message.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use onceward_library::otp::{Channel, Locale, MessageStyle, Otp};
    /// # let directory = tempfile::tempdir()?;
    /// # let otp = Otp::builder(directory.path()).start().await?;
    ///
    /// let in_french = MessageStyle { locale: Locale::parse("fr"), ..MessageStyle::default() };
    /// otp.send("+14155550123", Some(Channel::WhatsApp), in_french).await?;
    /// # otp.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Every [`OtpError`].
    pub async fn send(
        &self,
        phone: &str,
        channel: Option<Channel>,
        style: MessageStyle,
    ) -> Result<Sent, OtpError> {
        let Running { verifier, delivery, .. } = &*self.engine.running;
        let wanted = channel.unwrap_or_else(|| delivery.first_channel_of(ServiceId::DEFAULT));
        if !self.engine.channels.contains(&wanted) {
            return Err(OtpError::NoGateway(wanted));
        }
        if let Wording::Custom(text) = &style.wording {
            delivery.templates().check_custom(text).map_err(OtpError::Text)?;
        }
        let key = NumberKey::new(ServiceId::DEFAULT, self.number(phone)?);
        let outgoing = Box::new(Outgoing { style, ..Outgoing::new(key, wanted) });
        let reply = verifier.send(outgoing).await?;
        match reply.outcome {
            Ok(sent) => Ok(sent),
            Err(Failure::Locked { until }) => Err(OtpError::Locked { remaining: until.since(reply.at) }),
            Err(Failure::Limited(_)) => Err(OtpError::Refused(Refusal::NumberBusy)),
            Err(Failure::Guard(refused)) => Err(match refused.rule {
                Rule::Budget => {
                    let remaining = refused.until.unwrap_or(reply.at).since(reply.at);
                    OtpError::BudgetSpent { remaining }
                }
                Rule::Landline => OtpError::NumberRefused,
                _ => OtpError::Blocked,
            }),
            Err(failure) if failure.is_about_the_number() => Err(OtpError::NumberRefused),
            Err(_) => Err(OtpError::Gateway),
        }
    }

    /// Says whether a code is right. A right one works once: of any number of checks at the same time, one
    /// succeeds. A wrong one, also one with letters, is counted on the disk before this returns. White space, separators
    /// and digits of other scripts are read as the person means them; a text that holds no code is wrong and not counted.
    pub async fn verify(&self, phone: &str, code: &str) -> Verified {
        let number = match self.number(phone) {
            Ok(number) => number,
            Err(error) => return Verified::failed(error),
        };
        let running = &self.engine.running;
        let check = Check::new(NumberKey::new(ServiceId::DEFAULT, number), Code::submitted(code));
        running.verifier.check_code(check).await.into()
    }

    /// The code in the newest message of the simulator's inbox to `phone`, for tests and for trying things
    /// out; `None` without a simulator or a message. The inbox keeps the newest thousand messages.
    pub fn inbox_code(&self, phone: &str) -> Option<String> {
        let number = self.number(phone).ok()?;
        let messages = self.engine.simulator.as_ref()?.messages(Some(number), 1);
        messages.first().map(|message| message.code.expose().to_owned())
    }

    /// The delivery attempts, the newest first: one row for each message that a gateway was asked to send.
    /// Reads all that is remembered: for people and for reports, not for every request.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use onceward_library::otp::{Otp, PhoneNumber, SendStatus, AttemptQuery};
    /// # let directory = tempfile::tempdir()?;
    /// # let otp = Otp::builder(directory.path()).start().await?;
    ///
    /// otp.send_sms("+14155550123").await?;
    /// let number = PhoneNumber::parse("+14155550123", None)?;
    /// let sends = otp.attempts(&AttemptQuery { to: Some(number), ..AttemptQuery::newest(10) }).await?;
    /// assert_eq!(sends[0].attempt.status, SendStatus::Sent);
    /// # otp.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Refusal::Stopping`] after [`Otp::stop`], and once a shard has ended; [`Refusal::StoreUnavailable`] and
    /// [`Refusal::OutcomeUnknown`] if the store does not confirm what was read.
    pub async fn attempts(&self, query: &AttemptQuery) -> Result<Vec<ListedAttempt>, Refusal> {
        if self.engine.is_stopping() {
            return Err(Refusal::Stopping);
        }
        self.engine.running.verifier.attempts.list(query).await
    }

    /// The health of every gateway and its circuit breaker.
    pub fn gateways(&self) -> Vec<GatewayState> {
        self.engine.running.delivery.states()
    }

    /// Whether codes can be expected to be sent and checked just now.
    ///
    /// # Errors
    /// Every reason against it, in words for an operator: the disk, a shard that has ended, or each gateway that could
    /// send. After a failed sync of the disk the engine refuses everything: stop it, and start another one on the data
    /// directory.
    pub fn readiness(&self) -> Result<(), Vec<String>> {
        if self.engine.is_stopping() {
            return Err(vec!["the engine is stopping".to_owned()]);
        }
        let against = self.engine.running.reasons_against();
        let reasons: Vec<String> = against.into_iter().map(|reason| reason.why).collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    /// Answers the requests in flight, refuses later ones on every handle, and closes the data directory: another
    /// engine can then open it. Planned sends continue after the next start. Another call waits for the same end and
    /// returns the same result.
    ///
    /// # Errors
    /// If the store could not be closed in order. No answered request is lost even then.
    pub async fn stop(&self) -> Result<(), StoreError> {
        let engine = &*self.engine;
        let stop = || async {
            engine.stopping.store(true, Ordering::Release);
            engine.running.stop().await
        };
        engine.stopped.get_or_init(stop).await.clone()
    }

    fn number(&self, phone: &str) -> Result<PhoneNumber, OtpError> {
        Ok(PhoneNumber::parse(phone, self.engine.default_region)?)
    }
}
