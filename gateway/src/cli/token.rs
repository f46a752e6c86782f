//! `guildhall token create`: a token for a program.

use clap::{Args, ValueEnum};
use events::vocabulary::identity::Role;

use super::{Failure, print};
use crate::{security::tokens::Tokens, settings::Settings};

/// A token to be made.
#[derive(Debug, Args)]
pub(super) struct CreateToken {
    /// The program's name: lower-case letters, digits and dashes.
    #[arg(long, value_name = "NAME", value_parser = service_name)]
    service: String,
    /// What it may do.
    #[arg(long, value_enum, default_value_t = ServiceRole::Service)]
    role: ServiceRole,
    /// Days for which it is good.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ServiceRole {
    Service,
    Operator,
    Analyst,
}

impl From<ServiceRole> for Role {
    fn from(role: ServiceRole) -> Self {
        match role {
            ServiceRole::Service => Self::Service,
            ServiceRole::Operator => Self::Operator,
            ServiceRole::Analyst => Self::Analyst,
        }
    }
}

fn service_name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=40).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("takes 1 to 40 lower-case letters, digits and dashes".into())
}

/// Signs the token with the secret of these settings and prints it.
pub(super) fn create(settings: &Settings, asked: &CreateToken) -> Result<(), Failure> {
    const DAY_S: u64 = 24 * 60 * 60;
    let token =
        Tokens::new(&settings.auth).for_service(&asked.service, asked.role.into(), asked.days * DAY_S);
    let token = token.map_err(|error| Failure::Error(format!("cannot sign: {error}")))?;
    print(&format!("{token}\n"))
}
