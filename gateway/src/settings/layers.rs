//! Layers of settings: the defaults, then a file, then variables; every value remembers its source.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{DEFAULTS, OPEN_TABLE, open_name};

/// What begins the name of every variable.
const VARIABLE_PREFIX: &str = "GUILDHALL_";

/// The variable that names the file; not a setting itself.
pub(crate) const CONFIG_VARIABLE: &str = "GUILDHALL_CONFIG";
/// Variables of `compose/stack` and of the benchmarks, which are no settings.
const OTHERS_PREFIXES: [&str; 2] = ["GUILDHALL_STACK_", "GUILDHALL_BENCH_"];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The compiled-in defaults.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// The command line or a test.
    Given,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Given => f.write_str("given"),
        }
    }
}

/// Why the settings cannot be used. Each says which key and which source.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings file {path}: {reason}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system or the parser says.
        reason: String,
    },
    /// There is no such setting.
    #[error("unknown setting `{key}` from {origin}{hint}")]
    Unknown {
        /// The key as given.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// What is known instead.
        hint: String,
    },
    /// The value is not what the key takes.
    #[error("setting `{key}` from {origin}: {reason}")]
    Invalid {
        /// The key.
        key: String,
        /// Where the value stands.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
    /// Values that cannot hold together.
    #[error("settings {keys} cannot both hold: {reason}")]
    Pair {
        /// The keys with their sources.
        keys: String,
        /// Why not.
        reason: String,
    },
}

#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// Every setting by its dotted key, with its source.
#[derive(Clone)]
pub struct Layers {
    pub(super) leaves: BTreeMap<String, Leaf>,
}

impl fmt::Debug for Layers {
    /// As it is printed: secrets are masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

impl Layers {
    /// The compiled-in defaults alone. They hold every key there is.
    pub fn defaults() -> Self {
        let table: Table = DEFAULTS.parse().expect("the compiled-in defaults are TOML; a test reads them");
        let mut leaves = BTreeMap::new();
        flatten("", table, &mut |key, value| {
            leaves.insert(key, Leaf { value, origin: Origin::Default });
        });
        Self { leaves }
    }

    /// The defaults, the file and the variables of this process.
    ///
    /// `given` is a file named on the command line; without it, `GUILDHALL_CONFIG`, else `./guildhall.toml` if there.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key, a value of another kind.
    pub fn of_process(given: Option<&Path>) -> Result<Self, SettingsError> {
        let mut layers = Self::defaults();
        let named =
            given.map(Path::to_owned).or_else(|| std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from));
        let beside = PathBuf::from("guildhall.toml");
        if let Some(file) = named.or_else(|| beside.exists().then_some(beside)) {
            layers.add_file(&file)?;
        }
        // A variable that is not UTF-8 cannot be a setting's name; its value is checked by its kind.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        layers.add_variables(variables)?;
        Ok(layers)
    }

    /// Lays a file over what is there.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn add_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let unreadable =
            |reason: String| SettingsError::Unreadable { path: path.display().to_string(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
        self.add_text(&text, &Origin::File(path.to_owned()))
    }

    /// Lays TOML over what is there.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn add_text(&mut self, text: &str, origin: &Origin) -> Result<(), SettingsError> {
        let table: Table = text.parse().map_err(|e: toml::de::Error| SettingsError::Unreadable {
            path: origin.to_string(),
            reason: e.to_string(),
        })?;
        let mut given = Vec::new();
        flatten("", table, &mut |key, value| given.push((key, value)));
        for (key, value) in given {
            self.set(&key, value, origin.clone())?;
        }
        Ok(())
    }

    /// Lays those of `variables` that begin with `GUILDHALL_` over what is there; `GUILDHALL_STACK_…` and
    /// `GUILDHALL_BENCH_…` belong to the stack and to the benchmarks.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn add_variables(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), SettingsError> {
        for (name, text) in variables {
            if name == CONFIG_VARIABLE || OTHERS_PREFIXES.iter().any(|other| name.starts_with(other)) {
                continue;
            }
            let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
            let key = rest.to_lowercase().replace("__", ".");
            let origin = Origin::Variable(name);
            let kind = self.kind(&key, &origin)?;
            let value = read_as(&kind, text).map_err(|reason| SettingsError::Invalid {
                key: key.clone(),
                origin: origin.clone(),
                reason,
            })?;
            self.set(&key, value, origin)?;
        }
        Ok(())
    }

    /// Sets one value.
    ///
    /// # Errors
    /// An unknown key, a value of another kind.
    pub fn set(&mut self, key: &str, value: impl Into<Value>, origin: Origin) -> Result<(), SettingsError> {
        let value = written(key, value.into());
        let expected = self.kind(key, &origin)?.type_str();
        if value.type_str() != expected {
            let reason = format!("takes {expected}, not {}", value.type_str());
            return Err(SettingsError::Invalid { key: key.to_owned(), origin, reason });
        }
        self.leaves.insert(key.to_owned(), Leaf { value, origin });
        Ok(())
    }

    /// Where the value of `key` came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.leaves.get(key).map_or(Origin::Default, |leaf| leaf.origin.clone())
    }

    /// A value of the kind that `key` takes.
    fn kind(&self, key: &str, origin: &Origin) -> Result<Value, SettingsError> {
        if open_name(key).is_some() {
            return Ok(Value::String(String::new()));
        }
        let known = self.leaves.get(key).map(|leaf| leaf.value.clone());
        known.ok_or_else(|| {
            let group = key.rsplit_once('.').map_or("", |(group, _)| group);
            let of_group = |known: &&String| known.rsplit_once('.').map_or("", |(group, _)| group) == group;
            let known: Vec<&str> = self.leaves.keys().filter(of_group).map(String::as_str).collect();
            let hint =
                if known.is_empty() { String::new() } else { format!("; known are {}", known.join(", ")) };
            SettingsError::Unknown { key: key.to_owned(), origin: origin.clone(), hint }
        })
    }

    /// The tree as `T`; an error names the key and where its value came from.
    pub(super) fn deserialize<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        let mut tree = Table::new();
        for (key, leaf) in &self.leaves {
            insert(&mut tree, key, leaf.value.clone());
        }
        serde_path_to_error::deserialize(Value::Table(tree)).map_err(|error| {
            let key = error.path().to_string();
            let origin = self.origin(&key);
            SettingsError::Invalid { key, origin, reason: error.into_inner().message().trim().to_owned() }
        })
    }
}

fn flatten(prefix: &str, table: Table, leaf: &mut impl FnMut(String, Value)) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, leaf),
            value => leaf(key, value),
        }
    }
}

/// What lies in the open table is text there, however it was written.
fn written(key: &str, value: Value) -> Value {
    match value {
        Value::Integer(_) | Value::Boolean(_) if open_name(key).is_some() => Value::String(value.to_string()),
        value => value,
    }
}

/// Puts a value at its place; the names of the open table keep their dots.
fn insert(tree: &mut Table, key: &str, value: Value) {
    let (path, name) = match open_name(key) {
        Some(name) => (OPEN_TABLE, name),
        None => key.rsplit_once('.').unwrap_or(("", key)),
    };
    let mut table = tree;
    for group in path.split('.').filter(|group| !group.is_empty()) {
        let inner = table.entry(group).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = inner else { return };
        table = inner;
    }
    table.insert(name.to_owned(), value);
}

/// Reads a variable's text as what the default's kind asks for.
fn read_as(kind: &Value, text: String) -> Result<Value, String> {
    match kind {
        Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| "takes a whole number".to_owned()),
        Value::Boolean(_) => text.parse().map(Value::Boolean).map_err(|_| "takes true or false".to_owned()),
        Value::Float(_) => text.parse().map(Value::Float).map_err(|_| "takes a number".to_owned()),
        Value::Array(_) => {
            Ok(Value::Array(text.split(',').map(|item| Value::String(item.trim().to_owned())).collect()))
        }
        Value::String(_) | Value::Datetime(_) | Value::Table(_) => Ok(Value::String(text)),
    }
}
