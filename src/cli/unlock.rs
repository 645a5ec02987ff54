//! `onceward unlock`: an operator ends a lockout, and clears what was counted of a number.
//!
//! Only through a server that runs: what it knows of a number is in its memory.

use super::args::UnlockArgs;
use super::{Answer, EXIT_CONFIGURATION};
use crate::config::StorageSettings;
use crate::control::{ControlError, Request, UnlockRequest, ask};
use crate::domain::PhoneNumber;

/// It could not be done (`EX_SOFTWARE` of sysexits).
const EXIT_FAILED: u8 = 70;

/// What is asked, with the number read as the settings say.
pub(super) fn request(args: &UnlockArgs, settings: &StorageSettings) -> Result<UnlockRequest, Answer> {
    let number = PhoneNumber::parse(&args.number, settings.default_region).map_err(|error| Answer {
        code: EXIT_CONFIGURATION,
        err: format!("error: {}: {error}\n", args.number),
        ..Answer::default()
    })?;
    Ok(UnlockRequest { number: number.e164(), service: args.service.clone() })
}

/// Asks and prints.
pub(super) fn run(settings: &StorageSettings, request: &UnlockRequest) -> Answer {
    let question = Request::Unlock(request.clone());
    let failed =
        |error: String| Answer { code: EXIT_FAILED, err: format!("error: {error}\n"), ..Answer::default() };
    match ask(&settings.data_dir, &question, |_| {}) {
        Ok(()) => {
            let out = format!(
                "{} may be verified in the service {} again; a code that was out is void\n",
                request.number, request.service
            );
            Answer { out, ..Answer::default() }
        }
        Err(error @ ControlError::NoServer(_)) => {
            failed(format!("{error}; start the server first: only it can change what is counted of a number"))
        }
        Err(error) => failed(error.to_string()),
    }
}
