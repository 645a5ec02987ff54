//! Several gateways, each a double on loopback: contract sections 3 and 4, security.md section 3.

mod breaker;
mod carried_over;
mod classes;
mod held;
mod http_gateway;
mod mada;
mod privacy;
mod receipts;
mod recipes;
mod retry;
mod routing;
mod sinch;
mod templates;
mod tracker;
mod unknown;
mod verify;
mod voice;
mod whatsapp;
mod workflow;
