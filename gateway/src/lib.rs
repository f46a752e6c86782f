//! The HTTP surface of Guildhall and its binary, `guildhall`.
//!
//! A request passes the edge of its route ([`http::edge`]), is read into types ([`http::input`]), checked against the
//! caller's session and account ([`security`]), and becomes a command or a query ([`routes`]).

pub mod app;
pub mod cli;
pub mod commanding;
pub mod consistency;
pub mod demo;
pub mod house;
pub mod http;
pub mod metering;
pub mod openapi;
pub mod personal;
mod providing;
pub mod registering;
pub mod routes;
pub mod security;
pub mod server;
pub mod settings;
