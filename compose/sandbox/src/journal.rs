//! The file of the books: one line per batch of facts, synced before anybody is answered.
//!
//! A line is its CRC-32 in eight hexadecimal digits, a space, and a JSON array of records. Each line is synced before the
//! next is written, so what a crash can tear is the last line only, and nobody was told of what stood in it: it is cut off
//! when the file is opened. Damage anywhere else is refused with its line.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::Path,
};

use crate::books::{Unfit, fact::Record};

/// Records of one line.
const RECORDS_MAX: usize = 1000;

/// Why the file of the books cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another process has it open.
    #[error("another process has the books open")]
    InUse,
    /// A line is not what was written.
    #[error("line {line} of the books is damaged: {reason}")]
    Damaged {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// The open file, positioned at its end.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    pub(crate) bytes: u64,
}

impl Journal {
    /// Opens or creates the file, locks it, and hands every record to `each`, in order.
    pub(crate) fn open(
        path: &Path,
        mut each: impl FnMut(&Record) -> Result<(), Unfit>,
    ) -> Result<Self, JournalError> {
        let new = !path.exists();
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => JournalError::InUse,
            std::fs::TryLockError::Error(error) => JournalError::Io(error),
        })?;
        if new {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let end = file.metadata()?.len();
        let mut reader = BufReader::new(&file);
        let (mut bytes, mut number, mut line) = (0, 0, Vec::new());
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)? as u64;
            if read == 0 {
                break;
            }
            number += 1;
            let damaged = |reason: String| JournalError::Damaged { line: number, reason };
            match parse(&line) {
                Ok(records) => {
                    for record in &records {
                        each(record).map_err(|unfit| damaged(unfit.to_string()))?;
                    }
                }
                Err(reason) if bytes + read == end => {
                    tracing::warn!(line = number, reason, "the last line of the books was torn; cut off");
                    break;
                }
                Err(reason) => return Err(damaged(reason)),
            }
            bytes += read;
        }
        drop(reader);
        if bytes < end {
            file.set_len(bytes)?;
            file.sync_all()?;
        }
        let mut journal = Self { file, bytes };
        journal.file.seek(SeekFrom::Start(bytes))?;
        Ok(journal)
    }

    /// Writes and syncs. After an error the end of the file is unknown: do not go on.
    pub(crate) fn save(&mut self, records: &[Record]) -> io::Result<()> {
        for records in records.chunks(RECORDS_MAX) {
            let json = serde_json::to_string(records)?;
            let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
            self.file.write_all(line.as_bytes())?;
            self.file.sync_data()?;
            self.bytes += line.len() as u64;
        }
        Ok(())
    }
}

fn parse(line: &[u8]) -> Result<Vec<Record>, String> {
    let line = line.strip_suffix(b"\n").ok_or("it has no end")?;
    let (crc, json) = line.split_at_checked(8).ok_or("it is too short")?;
    let json = json.strip_prefix(b" ").ok_or("it has no checksum")?;
    if format!("{:08x}", crc32fast::hash(json)).as_bytes() != crc {
        return Err("its checksum differs".into());
    }
    serde_json::from_slice(json).map_err(|error| error.to_string())
}
