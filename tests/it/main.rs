//! The real binary, driven over HTTP with a Twilio double on loopback.
//!
//! Each file has one topic. Each test starts its own server in its own directory; tests share nothing but the
//! vocabulary in `support`.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod admin;
mod api_docs;
mod backup;
mod belief;
mod browser;
mod carry;
mod cluster;
mod crash;
mod dashboard_lists;
mod doctor;
mod exposure;
mod gateway_trouble;
mod gateways;
mod guard;
mod hooks;
mod hosted;
mod json_output;
mod library;
mod lifecycle;
mod metrics;
mod older_servers;
mod operator;
mod overload;
mod packaging;
mod parallel;
mod power_loss;
mod proxy;
mod quickstart;
mod sdk;
mod service_manager;
mod storage_trouble;
mod support;
mod tls;
mod traces;
mod typing;
mod v2_errors;
mod v2_twilio;
