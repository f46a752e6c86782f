//! A file of commits: for each a line of JSON that says where it stands, and its body as it is.
//!
//! ```text
//! {"guildhall":"commits","format":1,"log":"…","partition":"jobs/0"}
//! {"offset":17,"stream":"job-…","version":1,"events":2,"chain":"…","bytes":812}
//! [{"specversion":"1.0",…},…]
//! ```

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Take, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use super::{
    BackupError, failed,
    manifest::{FORMAT, Segment, from_text, to_text},
};
use crate::{
    attested::{Sha256, private},
    log::{ChainHash, StoredCommit},
    stream::{LogId, Offset, Partition, Position, StreamId, Version},
};

/// The longest line before a body, bytes.
const LINE_BYTES_MAX: u64 = 1024;

/// The first line: whose commits these are.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Heading {
    guildhall: String,
    format: u32,
    log: LogId,
    #[serde(serialize_with = "to_text", deserialize_with = "from_text")]
    partition: Partition,
}

impl Heading {
    fn new(log: LogId, partition: Partition) -> Self {
        Self { guildhall: "commits".into(), format: FORMAT, log, partition }
    }
}

/// The line before a body.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    offset: Offset,
    stream: StreamId,
    version: Version,
    events: u32,
    chain: Sha256,
    bytes: u64,
}

/// What the file with the commits from `first` on is called.
fn name_of(partition: Partition, first: Offset) -> String {
    format!("{}-{}-{first:015}.commits", partition.service, partition.number)
}

/// Adds to one file. What was added counts when the manifest says so.
pub(super) struct SegmentWriter {
    path: PathBuf,
    file: BufWriter<File>,
    hashing: digest::Context,
    segment: Segment,
}

impl SegmentWriter {
    /// A new file, in place of one that never counted.
    pub(super) fn begin(
        folder: &Path,
        log: LogId,
        partition: Partition,
        first: Offset,
    ) -> Result<Self, BackupError> {
        let name = name_of(partition, first);
        let path = folder.join(&name);
        let file = private().create(true).truncate(true).open(&path).map_err(failed(&path))?;
        let segment =
            Segment { file: name, first, last: first, commits: 0, bytes: 0, sha256: Sha256::default() };
        let hashing = digest::Context::new(&digest::SHA256);
        let mut writer = Self { path, file: BufWriter::new(file), hashing, segment };
        writer.put(line_of(&Heading::new(log, partition))?.as_bytes())?;
        Ok(writer)
    }

    /// Goes on behind what counts of a file; the rest is cut off.
    pub(super) fn go_on(folder: &Path, segment: &Segment) -> Result<Self, BackupError> {
        let path = folder.join(&segment.file);
        let mut file = private().read(true).open(&path).map_err(|error| not_there(&segment.file, &error))?;
        let mut hashing = digest::Context::new(&digest::SHA256);
        let (mut piece, mut left) = (vec![0; 1 << 16], segment.bytes);
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let read = file.read(&mut piece[..wanted]).map_err(failed(&path))?;
            if read == 0 {
                return Err(BackupError::damaged(&segment.file, "is shorter than it was"));
            }
            hashing.update(&piece[..read]);
            left -= read as u64;
        }
        if Sha256::from_digest(&hashing.clone().finish()) != segment.sha256 {
            return Err(other_bytes(&segment.file));
        }
        file.set_len(segment.bytes).map_err(failed(&path))?;
        file.seek(SeekFrom::Start(segment.bytes)).map_err(failed(&path))?;
        Ok(Self { path, file: BufWriter::new(file), hashing, segment: segment.clone() })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segment.bytes
    }

    pub(super) fn add(&mut self, commit: &StoredCommit) -> Result<(), BackupError> {
        let line = line_of(&Line {
            offset: commit.position.offset,
            stream: commit.stream,
            version: commit.first_version,
            events: commit.count,
            chain: Sha256(commit.chain.0),
            bytes: commit.body.len() as u64,
        })?;
        self.put(line.as_bytes())?;
        self.put(&commit.body)?;
        self.put(b"\n")?;
        self.segment.last = commit.position.offset;
        self.segment.commits += 1;
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.file.write_all(bytes).map_err(failed(&self.path))?;
        self.hashing.update(bytes);
        self.segment.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Makes it durable.
    pub(super) fn settle(mut self) -> Result<Segment, BackupError> {
        self.file.flush().map_err(failed(&self.path))?;
        self.file.get_ref().sync_all().map_err(failed(&self.path))?;
        Ok(Segment { sha256: Sha256::from_digest(&self.hashing.finish()), ..self.segment })
    }
}

fn line_of<T: Serialize>(line: &T) -> Result<String, BackupError> {
    let text = serde_json::to_string(line).map_err(|error| BackupError::File(error.to_string()))?;
    Ok(text + "\n")
}

fn not_there(file: &str, error: &std::io::Error) -> BackupError {
    BackupError::damaged(file, format!("cannot be opened: {error}"))
}

fn other_bytes(file: &str) -> BackupError {
    BackupError::damaged(file, "does not have the SHA-256 that the manifest names")
}

/// Reads what counts of one file, commit by commit, and tells at its end whether it was what was written.
pub(super) struct SegmentReader<'a> {
    input: BufReader<Take<File>>,
    hashing: digest::Context,
    segment: &'a Segment,
    partition: Partition,
    /// Bytes that were not read yet.
    left: u64,
    commits: u64,
    last: Offset,
}

impl<'a> SegmentReader<'a> {
    pub(super) fn open(
        folder: &Path,
        log: LogId,
        partition: Partition,
        segment: &'a Segment,
    ) -> Result<Self, BackupError> {
        if segment.file != name_of(partition, segment.first) {
            return Err(BackupError::damaged(&segment.file, "is not the name of a file of this partition"));
        }
        let path = folder.join(&segment.file);
        let file = File::open(&path).map_err(|error| not_there(&segment.file, &error))?;
        if file.metadata().map_err(failed(&path))?.len() < segment.bytes {
            return Err(BackupError::damaged(&segment.file, "is shorter than it was"));
        }
        let mut reader = Self {
            input: BufReader::with_capacity(1 << 16, file.take(segment.bytes)),
            hashing: digest::Context::new(&digest::SHA256),
            segment,
            partition,
            left: segment.bytes,
            commits: 0,
            last: segment.first,
        };
        let heading: Heading = reader.line()?;
        if heading == Heading::new(log, partition) {
            Ok(reader)
        } else {
            Err(reader.damaged("begins with the heading of another file"))
        }
    }

    /// The next commit; `None` at the end, when all of it was what was written.
    pub(super) fn next(&mut self) -> Result<Option<StoredCommit>, BackupError> {
        if self.left == 0 {
            return self.end().map(|()| None);
        }
        let line: Line = self.line()?;
        if line.bytes >= self.left {
            return Err(self.damaged("ends within a commit"));
        }
        let mut body = vec![0; usize::try_from(line.bytes).unwrap_or(usize::MAX)];
        self.read_exact(&mut body)?;
        let mut newline = [0];
        self.read_exact(&mut newline)?;
        if newline != *b"\n" {
            return Err(self.damaged("has a commit that is longer than it says"));
        }
        (self.commits, self.last) = (self.commits + 1, line.offset);
        Ok(Some(StoredCommit {
            position: Position { partition: self.partition, offset: line.offset },
            stream: line.stream,
            first_version: line.version,
            count: line.events,
            chain: ChainHash(line.chain.0),
            body: Arc::from(body),
        }))
    }

    fn end(&mut self) -> Result<(), BackupError> {
        if Sha256::from_digest(&self.hashing.clone().finish()) != self.segment.sha256 {
            return Err(other_bytes(&self.segment.file));
        }
        if (self.commits, self.last) != (self.segment.commits, self.segment.last) {
            return Err(self.damaged("holds other commits than the manifest names"));
        }
        Ok(())
    }

    fn line<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, BackupError> {
        let mut line = Vec::new();
        let read = (&mut self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        read.map_err(|error| not_there(&self.segment.file, &error))?;
        self.took(&line);
        serde_json::from_slice(&line)
            .map_err(|error| self.damaged(&format!("has a line that was not written like this: {error}")))
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        self.input.read_exact(bytes).map_err(|error| not_there(&self.segment.file, &error))?;
        self.took(bytes);
        Ok(())
    }

    fn took(&mut self, bytes: &[u8]) {
        self.hashing.update(bytes);
        self.left -= bytes.len() as u64;
    }

    /// Damage of this file.
    pub(super) fn damaged(&self, reason: &str) -> BackupError {
        BackupError::damaged(&self.segment.file, reason)
    }
}
