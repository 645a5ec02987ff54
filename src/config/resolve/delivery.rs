//! What happens when a send fails or a message does not arrive, and what is remembered about it.

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use super::super::gateways::Wishes;
use super::super::keys::Keys;
use super::super::kinds::Flag;
use super::super::reader::{Reader, Taken};
use super::super::report::{ConfigError, Report};
use super::super::settings::{
    BreakerSettings, DeliverySettings, GatewaySettings, RetrySettings, TrackerSettings, WorkflowStep,
};
use super::super::value::{Given, Setting};
use super::super::workflow::Workflow;
use crate::domain::{Channel, GatewayName};

/// The origin of a flag that is set.
fn set(key: &str, given: Given<Flag>, r: &mut Reader<'_>) -> Option<String> {
    r.take(key, given).filter(|flag| flag.value.0).map(|flag| flag.origin)
}

/// What gateways are told, and the settings without what depends on the gateways.
pub struct Asked {
    /// For the gateways.
    pub wishes: Wishes,
    delivery: DeliverySettings,
    workflow: Option<Taken<Workflow>>,
}

/// Reads the keys.
pub fn ask(keys: &mut Keys, r: &mut Reader<'_>) -> Asked {
    let voice_wrong = matches!(keys.voice, Given::Wrong { .. });
    let voice = set("voice", take(&mut keys.voice), r);
    // Of a value that cannot be read nothing else follows.
    let voice = if voice_wrong { Some(String::new()) } else { voice };
    let fallback = r.value("voice-fallback", take(&mut keys.voice_fallback)).0;
    let gate = set("voice-gate", take(&mut keys.voice_gate), r);
    let ring_for = r.value("voice-ring-for", take(&mut keys.voice_ring_for)).get();
    let content_sid = r.take("whatsapp-content-sid", take(&mut keys.whatsapp_content_sid));
    let feedback = r.value("conversion-feedback", take(&mut keys.conversion_feedback)).0;
    let url_given = !keys.public_url.is_absent();
    let url = r.take("public-url", take(&mut keys.public_url)).map(|url| url.value);
    if url.as_ref().is_some_and(super::super::urls::BaseUrl::is_exposed) {
        r.report.warn("public-url begins with http: what gateways report, and codes that they ask for, travel unencrypted");
    }
    if let Some(origin) = gate.as_ref().filter(|_| !url_given) {
        let problem = "it is true, and \"public-url\" is missing: Twilio asks there for what it is to say once a key \
                       was pressed";
        r.report.problem("voice-gate", problem, origin.clone());
    }
    let retry = set("sms.retry", take(&mut keys.sms_retry), r).is_some();
    let retries = RetrySettings {
        max_retries: u32::try_from(r.value("sms.max_retries", take(&mut keys.sms_max_retries)).get())
            .unwrap_or(u32::MAX),
        longest_wait: r.value("sms.longest_wait", take(&mut keys.sms_longest_wait)).get(),
        ..RetrySettings::default()
    };
    let workflow = r.take("workflow", take(&mut keys.workflow));
    let sends = r.value("workflow-max-sends", take(&mut keys.workflow_max_sends)).get();
    let delivery = DeliverySettings {
        retry: retry.then_some(retries),
        voice: voice.is_some(),
        voice_fallback: voice.is_some() && fallback,
        workflow: workflow.as_ref().map(|workflow| workflow.value.0.clone()).unwrap_or_default(),
        workflow_sends: u8::try_from(sends).unwrap_or(u8::MAX),
        breaker: breaker(keys, r),
        public_url: url.map(|url| Arc::from(url.0)),
    };
    let wishes = Wishes { voice, gate: gate.is_some(), ring_for, feedback, content_sid };
    Asked { wishes, delivery, workflow }
}

fn breaker(keys: &mut Keys, r: &mut Reader<'_>) -> BreakerSettings {
    let failures = r.value("breaker-failures", take(&mut keys.breaker_failures)).get();
    let open_for = r.take("breaker-open-for", take(&mut keys.breaker_open_for));
    let longest = r.take("breaker-longest", take(&mut keys.breaker_longest));
    let default = BreakerSettings::default();
    if let (Some(open_for), Some(longest)) = (&open_for, &longest)
        && longest.value.get() < open_for.value.get()
    {
        r.report.error(ConfigError {
            subject: "breaker-longest".to_owned(),
            given: Some(longest.value.shown()),
            problem: format!(
                "it must not be shorter than breaker-open-for, which is {}",
                open_for.value.shown()
            ),
            origin: Some(format!("{} and {}", longest.origin, open_for.origin)),
        });
    }
    BreakerSettings {
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        open_for: open_for.map_or(default.open_for, |span| span.value.get()),
        longest: longest.map_or(default.longest, |span| span.value.get()),
    }
}

/// What is remembered about sends.
pub fn tracker(keys: &mut Keys, r: &mut Reader<'_>) -> TrackerSettings {
    TrackerSettings {
        keep_for: r.value("tracker-keep-for", take(&mut keys.tracker_keep_for)).get(),
        keep_at_most: r.value("tracker-keep-at-most", take(&mut keys.tracker_keep_at_most)).as_usize(),
    }
}

impl Asked {
    /// The settings, checked against the gateways and the life of a code.
    pub fn settle(self, gateways: &GatewaySettings, life: Duration, report: &mut Report) -> DeliverySettings {
        let Self { delivery, workflow, wishes: _ } = self;
        warn_of_short_lives(gateways, life, report);
        if let Some(retry) = &delivery.retry {
            warn_of_late_retries(retry, life, report);
        }
        if let Some(workflow) = workflow.filter(|workflow| !workflow.value.0.is_empty()) {
            check_workflow(&workflow, &delivery, gateways, report);
            warn_of_late_steps(&workflow.value.0, life, report);
            if workflow.value.0.len() > usize::from(delivery.workflow_sends) {
                report.warn(format!(
                    "workflow has {} steps, and workflow-max-sends allows {} messages: the last ones are never tried",
                    workflow.value.0.len(),
                    delivery.workflow_sends
                ));
            }
        }
        delivery
    }
}

/// Every channel must have somebody who serves it.
fn check_workflow(
    workflow: &Taken<Workflow>,
    delivery: &DeliverySettings,
    gateways: &GatewaySettings,
    report: &mut Report,
) {
    for channel in Channel::ALL {
        if !workflow.value.0.iter().any(|step| step.channel == channel) {
            continue;
        }
        let problem = if channel == Channel::Call && !delivery.voice {
            "it has the channel \"call\", and calls are not allowed: set \"voice\" to true".to_owned()
        } else if gateways.serves(channel) {
            continue;
        } else if channel == Channel::Call {
            // Said of `voice` already.
            continue;
        } else {
            format!(
                "it has the channel {:?}, and no gateway of otp-sms-provider serves that",
                channel.as_str()
            )
        };
        report.error(ConfigError {
            subject: "workflow".to_owned(),
            given: Some(workflow.value.shown()),
            problem,
            origin: Some(workflow.origin.clone()),
        });
    }
    if delivery.public_url.is_none() && !report.is_about(&["PUBLIC_URL"]) {
        report.warn(
            "workflow is given without public-url: gateways cannot report what arrived, so every step waits for the \
             whole of its time",
        );
    }
}

/// Providers that hold the code themselves let it live for minutes, and people see messages that they
/// were sent 20 s ago.
fn warn_of_short_lives(gateways: &GatewaySettings, life: Duration, report: &mut Report) {
    const ENOUGH: Duration = Duration::from_secs(60);
    let holders = [GatewayName::TwilioVerify, GatewayName::Sinch];
    if let Some(holder) = holders.into_iter().find(|name| gateways.routing.names(*name) && life < ENOUGH) {
        report.warn(format!(
            "{holder} makes codes that live for minutes, and after {} (otp-timeout) they are wrong here; otp-timeout = \
             \"10m\" lets both end together",
            humantime::format_duration(life)
        ));
    }
}

/// Steps that begin when the code is over are never brought by their time.
fn warn_of_late_steps(steps: &[WorkflowStep], life: Duration, report: &mut Report) {
    let mut begins = Duration::ZERO;
    for (number, step) in (1_usize..).zip(steps) {
        if begins >= life {
            report.warn(format!(
                "workflow: step {number} ({}) would begin after {}, and a code lives {} (otp-timeout): only a \
                 report that the message before it did not arrive can bring it. Shorten the time-outs or let codes live longer",
                step.channel.as_str(),
                humantime::format_duration(begins),
                humantime::format_duration(life)
            ));
            return;
        }
        begins = begins.saturating_add(step.timeout);
    }
}

/// Retries whose waits add up to more than a code's life are never made.
fn warn_of_late_retries(retry: &RetrySettings, life: Duration, report: &mut Report) {
    let (mut wait, mut begins, mut fitting) = (retry.first_wait, Duration::ZERO, 0);
    while fitting < retry.max_retries {
        begins = begins.saturating_add(wait);
        if begins >= life {
            report.warn(format!(
                "sms.max_retries is {}, but a code lives {} (otp-timeout), and about {fitting} retries fit into that: \
                 the others are never made",
                retry.max_retries,
                humantime::format_duration(life)
            ));
            return;
        }
        fitting += 1;
        wait = wait.saturating_mul(2).min(retry.longest_wait);
    }
}
