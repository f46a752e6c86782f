//! `guildhall user create`: the first administrator, made where the data is.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, IsTerminal as _, Write as _},
};

use clap::{Args, ValueEnum};
use events::{ids::CommandId, vocabulary::identity::Role};

use super::{Failure, prepared, print};
use crate::{
    house::House,
    http::RequestContext,
    registering::{Newcomer, Registering},
    settings::Settings,
};

/// An account to be made.
#[derive(Debug, Args)]
pub(super) struct CreateUser {
    /// What it may do.
    #[arg(long, value_enum)]
    role: UserRole,
    /// Its e-mail address.
    #[arg(long)]
    email: String,
    /// The name shown to others.
    #[arg(long, default_value = "Administrator")]
    name: String,
    /// Read the password from standard input, up to the end of the line.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UserRole {
    Client,
    Worker,
    Admin,
    Analyst,
    Operator,
}

impl From<UserRole> for Role {
    fn from(role: UserRole) -> Self {
        match role {
            UserRole::Client => Self::Client,
            UserRole::Worker => Self::Worker,
            UserRole::Admin => Self::Admin,
            UserRole::Analyst => Self::Analyst,
            UserRole::Operator => Self::Operator,
        }
    }
}

/// Makes the account and prints its id.
pub(super) fn create(settings: Settings, asked: &CreateUser) -> Result<(), Failure> {
    let password = read_password(asked.password_stdin)?;
    let newcomer = Newcomer {
        email: asked.email.clone(),
        password,
        display_name: asked.name.clone(),
        roles: BTreeSet::from([asked.role.into()]),
    };
    if let Err(report) = garde::Validate::validate(&newcomer) {
        return Err(Failure::Usage(report.to_string().trim().to_owned()));
    }
    let runtime = prepared(&settings)?;
    runtime.block_on(async {
        let house = House::open(settings).await?;
        let context = RequestContext::of_command_line("user create");
        let (newcomer, command_id) = (&newcomer, CommandId::fresh());
        let registering = Registering { newcomer, command_id, by_system: true, context: &context };
        let account = registering.account();
        let registered = registering.register(&house.app).await;
        house.close().await;
        registered.map_err(|problem| Failure::Error(problem.to_string()))?;
        print(&format!("{account}\n"))
    })
}

/// From standard input, or asked for at a terminal. There is no way to pass it as an argument: those can be seen.
fn read_password(from_stdin: bool) -> Result<String, Failure> {
    if !from_stdin && !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("no terminal to ask at: pass --password-stdin".into()));
    }
    let hidden = if from_stdin { None } else { Some(HiddenTyping::ask()) };
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    drop(hidden);
    read.map_err(|error| Failure::Error(format!("cannot read: {error}")))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// While it lives, the terminal does not show what is typed. Best effort: without `stty` it does.
struct HiddenTyping;

impl HiddenTyping {
    fn ask() -> Self {
        let _ = write!(std::io::stderr(), "Password: ");
        Self::set("-echo");
        Self
    }

    fn set(mode: &str) {
        let _ = std::process::Command::new("stty").arg(mode).status();
    }
}

impl Drop for HiddenTyping {
    fn drop(&mut self) {
        Self::set("echo");
        let _ = writeln!(std::io::stderr());
    }
}
