//! HTTP over TLS: the server of port 8006 (`server`), what it answers (`gate`), requests to other nodes (`client`).

pub mod client;
mod gate;
pub mod message;
mod proxy;
pub mod server;
mod tls;
