//! `cargo run -p schemas -- generate|check`: writes or compares everything that is generated in this folder.

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use schemas::{
    catalogue::Catalogue,
    files,
    fingerprints::{Fingerprints, report},
    folder,
};

const USAGE: &str = "\
usage: schemas generate [--accept] | check

  generate   writes schemas that are missing or stale, removes those of nothing, adds fingerprints of new folds
  --accept   takes over changed fingerprints too: the golden histories grew, or the version was never released
  check      names every file that is not as generated";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["generate"] => generate(false),
        ["generate", "--accept"] => generate(true),
        ["check"] => check(),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody is left to tell when the error output is closed.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well afterwards.
fn generate(accept: bool) -> Result<bool, Box<dyn Error>> {
    let folder = folder();
    let mut out = io::stdout().lock();
    for path in files::generate(&folder, &Catalogue::current())? {
        writeln!(out, "schemas/{path}")?;
    }
    let (had, current) = (Fingerprints::checked_in(&folder)?, Fingerprints::current(&folder)?);
    let updated = had.updated(&current, accept);
    if updated != had {
        updated.write(&folder)?;
        writeln!(out, "schemas/fingerprints.toml")?;
    }
    drop(out);
    check()
}

/// Whether all is well.
fn check() -> Result<bool, Box<dyn Error>> {
    let folder = folder();
    let problems = files::check(&folder, &Catalogue::current())?;
    let differences = Fingerprints::checked_in(&folder)?.differences(&Fingerprints::current(&folder)?);
    let mut out = io::stdout().lock();
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    write!(out, "{}", report(&differences))?;
    Ok(problems.is_empty() && differences.is_empty())
}
