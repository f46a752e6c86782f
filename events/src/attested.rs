//! Small JSON files that say what they must hash to, and are replaced whole or not at all.
//!
//! `{"content": …, "sha256": "…"}`: the hash is that of the content's text, byte for byte, so a changed byte is found, and so
//! is a file that was mended by hand.

use std::{
    borrow::Cow,
    fmt,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// SHA-256; 64 hexadecimal digits on the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_digest(&digest::digest(&digest::SHA256, bytes))
    }

    /// Of a whole file, and how many bytes it has.
    ///
    /// # Errors
    /// What reading it reports.
    pub fn of_file(path: &Path) -> io::Result<(Self, u64)> {
        let mut file = File::open(path)?;
        let mut hashing = digest::Context::new(&digest::SHA256);
        let (mut piece, mut bytes) = (vec![0; 1 << 16], 0);
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                return Ok((Self::from_digest(&hashing.finish()), bytes));
            }
            hashing.update(&piece[..read]);
            bytes += read as u64;
        }
    }

    pub(crate) fn from_digest(digest: &digest::Digest) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(d)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("not 64 lower-case hexadecimal digits"))
    }
}

/// The file as a whole.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attested<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
    sha256: Sha256,
}

/// Replaces the file at `path` with one that holds `content`: after a crash it is the old one or the new one, whole.
///
/// # Errors
/// What the file system reports.
pub(crate) fn write<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    let content = serde_json::to_string_pretty(content)?;
    let sha256 = Sha256::of(content.as_bytes());
    let passing = passing_name(path);
    let mut file = private().create(true).truncate(true).open(&passing)?;
    write!(file, "{{\"content\": {content},\n\"sha256\": \"{sha256}\"}}\n")?;
    file.sync_all()?;
    fs::rename(&passing, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Why an attested file cannot be used.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// There is none.
    Missing,
    /// It is not what was written.
    Damaged(String),
    /// The file system does not give it.
    File(io::Error),
}

/// Reads what [`write`] wrote.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Unreadable> {
    let text = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unreadable::Missing,
        _ => Unreadable::File(error),
    })?;
    let damaged = |error: serde_json::Error| Unreadable::Damaged(format!("is not what was written: {error}"));
    let attested: Attested<'_> = serde_json::from_slice(&text).map_err(damaged)?;
    if Sha256::of(attested.content.get().as_bytes()) != attested.sha256 {
        return Err(Unreadable::Damaged("does not have the SHA-256 that it names".into()));
    }
    serde_json::from_str(attested.content.get()).map_err(damaged)
}

/// What the next version of a file is called while it is written.
pub(crate) fn passing_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// How a file is opened for writing that only its owner may read.
pub(crate) fn private() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the names in a folder survive a power loss.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_found_wherever_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("description.json");
        write(&path, &vec!["one", "two"]).expect("is written");
        let whole = fs::read(&path).expect("is there");
        assert_eq!(read::<Vec<String>>(&path).expect("is whole"), ["one", "two"]);
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0x11;
            fs::write(&path, changed).expect("is written");
            assert!(matches!(read::<Vec<String>>(&path), Err(Unreadable::Damaged(_))), "byte {place}");
        }
        assert!(matches!(read::<Vec<String>>(&folder.path().join("none")), Err(Unreadable::Missing)));
    }
}
