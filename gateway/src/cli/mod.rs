//! The command line of `guildhall`. Data on stdout, everything else on stderr.

mod backup;
mod demo;
mod log;
mod log_copy;
mod logging;
mod progress;
mod projections;
mod restore;
mod serve;
mod token;
mod user;

use std::{fmt::Display, io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    app::openapi_text,
    demo::DemoArguments,
    house::OpenError,
    openapi, routes,
    settings::{Layers, Settings, SettingsError},
};

/// The backend of a marketplace for skilled work. Without a command it serves: everything in one process.
#[derive(Debug, Parser)]
#[command(name = "guildhall", version)]
struct Arguments {
    /// A settings file; without it GUILDHALL_CONFIG, else ./guildhall.toml if there is one.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve HTTP and keep the read models that queries need; process managers run elsewhere. Needs a log on Kafka.
    Gateway,
    /// Run process managers, their steps and timers, and the projectors where the read store is shared; serves health,
    /// metrics and /ops only. Needs a log on Kafka.
    Worker(serve::WorkFor),
    /// Tell a story through the public API of a running server (or of its own, with --self-hosted).
    Demo(DemoArguments),
    /// Print the settings in force, each with its source; secrets are masked.
    Config,
    /// Print the OpenAPI document.
    Openapi,
    /// Accounts, made where the data is.
    #[command(subcommand)]
    User(UserCommand),
    /// Tokens for programs.
    #[command(subcommand)]
    Token(TokenCommand),
    /// The log itself.
    #[command(subcommand)]
    Log(LogCommand),
    /// Take a backup of the log and, apart from it, of the keys; also while a server runs. Or verify one.
    Backup(backup::Backup),
    /// Make a log of a backup, in an empty data folder, with keys from a place that is named.
    Restore(restore::RestoreBackup),
    /// The read models of a running server: how far they are, rebuilding, comparing, swapping.
    Projections(projections::Projections),
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account in the data folder; no server may be using it.
    Create(user::CreateUser),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Print an access token for a program.
    Create(token::CreateToken),
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Walk every hash chain; also while a server runs.
    Verify(log::VerifyLog),
    /// Copy a log into another, from any engine to any other.
    Copy(log_copy::CopyLog),
}

/// How a command ends: 0 ok, 1 error, 2 usage, 3 nothing found, 7 unreachable, 8 denied, 130 interrupted.
#[derive(Debug)]
pub enum Failure {
    /// It did not work out.
    Error(String),
    /// It was asked for in a way that makes no sense.
    Usage(String),
    /// There is no such thing.
    NotFound(String),
    /// The server does not answer.
    Unreachable(String),
    /// The server does not let this caller.
    Denied(String),
    /// Somebody pressed Ctrl-C, or the system ends it.
    Interrupted(String),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Error(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::NotFound(_) => ExitCode::from(3),
            Self::Unreachable(_) => ExitCode::from(7),
            Self::Denied(_) => ExitCode::from(8),
            Self::Interrupted(_) => ExitCode::from(130),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error(text)
            | Self::Usage(text)
            | Self::NotFound(text)
            | Self::Unreachable(text)
            | Self::Denied(text)
            | Self::Interrupted(text) => f.write_str(text),
        }
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Error(error.to_string())
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // A second call finds the provider installed: nothing to do.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            failure.exit_code()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let layers = || Layers::of_process(arguments.config.as_deref());
    match arguments.command {
        None => serve::serve(layers()?.settings()?),
        Some(Command::Gateway) => serve::gateway(layers()?.settings()?),
        Some(Command::Worker(asked)) => serve::worker(layers()?.settings()?, asked),
        Some(Command::Demo(arguments)) => demo::demo(&arguments, &layers()?),
        Some(Command::Config) => {
            let layers = layers()?;
            // What cannot be used is still worth seeing; the complaint follows.
            print(&layers.render())?;
            layers.settings()?;
            Ok(())
        }
        Some(Command::User(UserCommand::Create(asked))) => user::create(layers()?.settings()?, &asked),
        Some(Command::Token(TokenCommand::Create(asked))) => token::create(&layers()?.settings()?, &asked),
        Some(Command::Log(LogCommand::Verify(asked))) => log::verify(layers()?.settings()?, asked),
        Some(Command::Log(LogCommand::Copy(asked))) => log_copy::copy(layers()?.settings()?, &asked),
        Some(Command::Backup(asked)) => backup::run(&layers()?.settings()?, asked),
        Some(Command::Restore(asked)) => restore::run(&layers()?.settings()?, &asked),
        Some(Command::Projections(asked)) => projections::run(&layers()?.settings()?, &asked),
        Some(Command::Openapi) => print(&openapi_text(&openapi::document(&routes::operations()))),
    }
}

/// Writes to stdout. A reader that has gone (`| head`) is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Error(format!("cannot write: {error}")))
        }
        _ => Ok(()),
    }
}

fn complain(failure: &Failure) {
    // There is nobody left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "guildhall: {failure}");
}

/// A runtime for commands that need one.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Error(format!("cannot start threads: {error}")))
}

/// Logging and a runtime, for commands that work on the data folder.
pub(crate) fn prepared(settings: &Settings) -> Result<tokio::runtime::Runtime, Failure> {
    logging::start(settings)?;
    runtime()
}
