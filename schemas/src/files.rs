//! The schema files as they are: compared with the catalogue, and written.

use std::{collections::BTreeSet, fmt, fs, io, path::Path};

use crate::{
    GENERATE,
    catalogue::{Catalogue, FOLDERS},
};

/// What is wrong with one file. As text: the file, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It should be there and is not.
    Missing(String),
    /// It says something else than the types do.
    Stale(String),
    /// Nothing generates it.
    Extra(String),
    /// The schema of an old event version is gone. It cannot be generated again.
    FrozenMissing(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "schemas/{path} is missing: run `{GENERATE}`"),
            Self::Stale(path) => write!(f, "schemas/{path} is stale: run `{GENERATE}`"),
            Self::Extra(path) => write!(f, "schemas/{path} describes nothing there is: run `{GENERATE}`"),
            Self::FrozenMissing(path) => write!(
                f,
                "schemas/{path} is missing: it describes an event version that is on logs for ever and is not \
                 generated any more; take it from the history of this repository"
            ),
        }
    }
}

/// Compares the files below `folder` with the catalogue.
///
/// # Errors
/// A folder or file that cannot be read.
pub fn check(folder: &Path, catalogue: &Catalogue) -> io::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for (path, text) in &catalogue.generated {
        match read(&folder.join(path))? {
            None => problems.push(Problem::Missing(path.clone())),
            Some(found) if found != *text => problems.push(Problem::Stale(path.clone())),
            Some(_) => {}
        }
    }
    for path in &catalogue.frozen {
        if !folder.join(path).exists() {
            problems.push(Problem::FrozenMissing(path.clone()));
        }
    }
    problems.extend(extra(folder, catalogue)?.into_iter().map(Problem::Extra));
    Ok(problems)
}

/// Writes what is missing or stale and removes what is extra. Frozen files are left alone. Returns the paths of the
/// files that changed.
///
/// # Errors
/// A folder or file that cannot be read or written.
pub fn generate(folder: &Path, catalogue: &Catalogue) -> io::Result<Vec<String>> {
    let mut changed = Vec::new();
    for name in FOLDERS {
        fs::create_dir_all(folder.join(name))?;
    }
    for (path, text) in &catalogue.generated {
        if read(&folder.join(path))?.as_ref() != Some(text) {
            fs::write(folder.join(path), text)?;
            changed.push(path.clone());
        }
    }
    for path in extra(folder, catalogue)? {
        fs::remove_file(folder.join(&path))?;
        changed.push(path);
    }
    Ok(changed)
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The files in the catalogue's folders that it does not know.
fn extra(folder: &Path, catalogue: &Catalogue) -> io::Result<BTreeSet<String>> {
    let mut extra = BTreeSet::new();
    for name in FOLDERS {
        let entries = match fs::read_dir(folder.join(name)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let path = format!("{name}/{}", entry?.file_name().to_string_lossy());
            if !catalogue.generated.contains_key(&path) && !catalogue.frozen.contains(&path) {
                extra.insert(path);
            }
        }
    }
    Ok(extra)
}
