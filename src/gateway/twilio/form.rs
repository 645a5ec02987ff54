//! Bodies of requests, written into one allocation: there is one for every message.

use std::fmt::{Display, Write as _};

use form_urlencoded::byte_serialize;

use super::super::Callback;
use crate::domain::PhoneNumber;

/// An `application/x-www-form-urlencoded` body that grows.
#[derive(Default, Clone)]
pub(super) struct Form(String);

impl Form {
    /// Begins with what was prepared, with room for as many further bytes.
    pub(super) fn continuing(prepared: &Self, room: usize) -> Self {
        let mut form = String::with_capacity(prepared.0.len() + room);
        form.push_str(&prepared.0);
        Self(form)
    }

    /// A field with any value. Names are Twilio's: letters only.
    pub(super) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        self.escaped(value)
    }

    /// A field whose value needs no escaping: numbers and words of ASCII letters.
    pub(super) fn plain(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.name(name);
        self.display(value)
    }

    /// A field with a phone number, behind a prefix such as `whatsapp:`.
    pub(super) fn number(&mut self, name: &str, prefix: &str, number: PhoneNumber) -> &mut Self {
        self.name(name);
        self.escaped(prefix);
        self.0.push_str("%2B");
        self.display(number.as_u64())
    }

    /// `StatusCallback`: where Twilio reports what became of the attempt.
    pub(super) fn status_callback(&mut self, callback: &Callback, kind: &str) -> &mut Self {
        self.name("StatusCallback");
        self.escaped(&callback.public_url);
        self.0.push_str("%2Fcallbacks%2Ftwilio%2F");
        self.0.push_str(kind);
        self.0.push_str("%3Fattempt%3D");
        // Digits, letters and hyphens.
        self.display(callback.attempt)
    }

    /// The finished body.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.0)
    }

    fn name(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
    }

    fn escaped(&mut self, value: &str) -> &mut Self {
        self.0.extend(byte_serialize(value.as_bytes()));
        self
    }

    fn display(&mut self, value: impl Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{value}");
        self
    }
}
